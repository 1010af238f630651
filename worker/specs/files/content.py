"""What a file holds, once it is read: arrays by name, rows first; and what is wrong with a file that cannot be used.

SpecError
├── Unreadable       the file as a whole: not of its format, too large, pickled
└── BadRows          single cells or rows; `total` counts those that are not listed too
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from worker.specs.errors import FieldError, SpecError, pointer_to

FORMAT = "halfstep.data/1"
LABELS = ("y", "label", "labels", "target")
"""Names that columns of labels go by, the first that there is."""
FILE = "file"
"""Where faults of a file lie: the part of the upload, and the member of a job's data, are both called so."""
MOST_LISTED = 100
"""Bad cells that are listed; all are counted."""
LONGEST_NAME = 200
"""Characters of the name of an array or a column."""


class Unreadable(SpecError):
    """The file cannot be used as a whole.

    Args:
        message: what was found, what is accepted, what to do.
        code: stable snake_case name for programs.
    """

    def __init__(self, message: str, code: str = "file_invalid") -> None:
        super().__init__([FieldError(code, "ValueError", message, pointer_to((FILE,)))])


class BadRows(SpecError):
    """Some rows cannot be used.

    Attributes:
        total: bad cells (or whole rows) in all, of which `errors` lists the first.
    """

    def __init__(self, faults: Iterable[FieldError], total: int) -> None:
        super().__init__(faults)
        self.total = total


@dataclass
class Faults:
    """Counts bad cells and keeps the first; the one thing here that changes, while a file is read."""

    listed: list[FieldError] = field(default_factory=list)
    total: int = 0

    def add(self, row: int, column: str | None, why: str) -> None:
        """Note a bad cell, or a bad row if there is no column to name; rows count from 0."""
        self.total += 1
        if len(self.listed) < MOST_LISTED:
            place: tuple[str | int, ...] = (FILE, row) if column is None else (FILE, row, column)
            where = f"Row {row}" if column is None else f"Row {row}, column {column!r}"
            self.listed.append(FieldError("data_invalid", "ValueError", f"{where}: {why}", pointer_to(place)))

    def raise_if_any(self) -> None:
        """End the reading if a cell was bad.

        Raises:
            BadRows: with the first ones, in order.
        """
        if self.total:
            raise BadRows(self.listed, self.total)


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        arrays: by name, rows first, every value finite: bool, integers, float16 to float64, bfloat16 or float8.
        names: of all columns or arrays in the order of the file, also of those of text, which are not kept.
        tabular: whether the arrays are columns of one table, so that all have as many rows.
    """

    arrays: Mapping[str, NDArray[Any]]
    names: tuple[str, ...]
    tabular: bool

    @property
    def unusable(self) -> tuple[str, ...]:
        """Columns or arrays of text and the like, which no model takes."""
        return tuple(name for name in self.names if name not in self.arrays)

    @property
    def rows(self) -> int | None:
        """Rows of every array; None if they differ."""
        lengths = {len(array) for array in self.arrays.values()}
        return lengths.pop() if len(lengths) == 1 else None

    @property
    def labels(self) -> tuple[str, bool] | None:
        """The column that is taken as labels unless others are named, and whether that is a guess; None for none."""
        lowered = {name.lower(): name for name in reversed(self.names)}
        known = next((lowered[name] for name in LABELS if name in lowered), None)
        if known is not None:
            return known, False
        return (self.names[-1], True) if self.tabular and len(self.names) > 1 else None

    def packed(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return arrays and a record, as `engine.checkpoint` writes them; names of any text go into the record."""
        record = {"format": FORMAT, "names": list(self.names), "kept": list(self.arrays), "tabular": self.tabular}
        return {str(index): array for index, array in enumerate(self.arrays.values())}, record

    @classmethod
    def unpacked(cls, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> Self:
        """Return what was packed."""
        kept = {name: arrays[str(index)] for index, name in enumerate(record["kept"])}
        return cls(kept, tuple(record["names"]), record["tabular"])

    def described(self) -> dict[str, Any]:
        """Return what was understood, as plain JSON values."""
        return {
            "rows": self.rows,
            "columns": list(self.names) if self.tabular else None,
            "arrays": [
                {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
                for name, array in self.arrays.items()
            ],
            "unusable": list(self.unusable),
            "label": None if self.labels is None else self.labels[0],
            "label_assumed": self.labels is not None and self.labels[1],
        }


MOST_UNPACKED, FREE_BYTES = 100, 64 << 20
"""How many times as large as a file its arrays may be, beyond so many bytes: data that says anything packs less."""


def check_unpacked(sent: int, unpacked: int) -> None:
    """Make sure that a file does not ask for far more room than it takes itself.

    Raises:
        Unreadable: it does.
    """
    if unpacked > max(MOST_UNPACKED * sent, FREE_BYTES):
        text = (
            f"The file of {sent:,} bytes unpacks to {unpacked:,}, more than {MOST_UNPACKED} times as much: nearly all "
            "of it is the same number. Send fewer rows, or a format that does not pack."
        )
        raise Unreadable(text, "resource_limit")


def checked(content: Content) -> Content:
    """Return the content if it holds numbers, all of them finite.

    Raises:
        Unreadable: nothing in it can be trained with.
        BadRows: not a number, or infinite.
    """
    if not content.arrays:
        text = f"holds no numbers (only {list(content.unusable)[:10]})" if content.unusable else "holds nothing"
        raise Unreadable(f"The file {text}; training needs columns or arrays of numbers.", "empty_data")
    faults = Faults()
    for name, array in content.arrays.items():
        _check_finite(name, array, faults)
    faults.raise_if_any()
    return content


def _check_finite(name: str, array: NDArray[Any], faults: Faults) -> None:
    if np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
        return
    finite = np.isfinite(array)
    if finite.all():
        return
    for index in np.argwhere(~finite)[:MOST_LISTED].tolist():
        value = float(array[tuple(index)])
        place = f" (at {index[1:]} of the row)" if len(index) > 1 else ""
        faults.add(
            index[0], name, f"is {value}{place}; every value must be a finite number. Fill it in or drop the row."
        )
    faults.total += int(array.size - np.count_nonzero(finite)) - min(MOST_LISTED, int((~finite).sum()))


def check_names(names: Sequence[str], most: int) -> None:
    """Refuse too many names, names twice, and names that nobody could say.

    Args:
        names: of columns or arrays.
        most: that a file may have.

    Raises:
        Unreadable: with the first bad one.
    """
    if len(names) > most:
        raise Unreadable(f"The file has {len(names):,} columns or arrays; the limit is {most:,}.", "resource_limit")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Unreadable(f"The file has two columns or arrays named {name[:LONGEST_NAME]!r}; rename one.")
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            text = f"A column or array is named {name[:50]!r}; names have 1 to {LONGEST_NAME} printable characters."
            raise Unreadable(text)
        seen.add(name)


def check_size(values: int, most: int, what: str = "The file") -> None:
    """Refuse more numbers than may be held.

    Raises:
        Unreadable: with code `resource_limit`.
    """
    if values > most:
        count = f"{values:,}" if values.bit_length() < 256 else "an absurd number of"
        raise Unreadable(f"{what} has {count} values; the limit is {most:,}.", "resource_limit")
