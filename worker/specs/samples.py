"""Data sent inside a job: nested lists into arrays, every unusable row and column named.

The lists are taken apart level by level, because numpy alone would take "1", true and null for numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worker.specs.errors import FieldError, SpecError, pointer_to
from worker.specs.wording import shown

Index: TypeAlias = tuple[int, ...]
Path: TypeAlias = tuple[str, ...]

MOST_ERRORS = 10
"""Faults listed of one array."""


Arrays: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]]
"""Of one input or output an array, of several an array by name."""


MOST_NAMES = 50
"""Columns that a summary lists; the rest is counted."""


@dataclass(frozen=True)
class Columns:
    """Which columns or arrays of a file the data come from.

    Attributes:
        names: by place, as `by_place` has them: one name an array of its own, several the columns of one.
        guessed: whether the labels were taken from the last column, because none has a name that labels go by.
    """

    names: Mapping[Path, tuple[str, ...]]
    guessed: bool = False

    def listed(self, key: str) -> tuple[str, ...]:
        """Return the names of all inputs ("x") or labels ("y"); of very many the first ones and a count."""
        names = [name for place, names in self.names.items() if place[0] == key for name in names]
        more = len(names) - MOST_NAMES
        return (*names[:MOST_NAMES], *([f"and {more:,} more"] if more > 0 else []))


@dataclass(frozen=True)
class Samples:
    """Training data.

    Attributes:
        x: inputs, shape (samples, ...), float32 or float64.
        y: labels, shape (samples, ...), int64 where every label was written as an integer.
        weights: what each sample counts, or None.
        columns: where in an uploaded file they come from; None of other data.
    """

    x: Arrays
    y: Arrays
    weights: Arrays | None = None
    columns: Columns | None = None

    def __len__(self) -> int:
        return len(next(iter(by_place("x", self.x).values())))

    @property
    def input_shape(self) -> tuple[int | None, ...] | None:
        """Shape of the one input, batch axis first; None where there are several."""
        return None if isinstance(self.x, Mapping) else (None, *self.x.shape[1:])


def by_place(key: str, arrays: Arrays | None) -> dict[Path, NDArray[Any]]:
    """Return arrays by where in the data they stand: `("x",)` of one input, `("x", "image")` of several."""
    if arrays is None:
        return {}
    return {(key, name): array for name, array in arrays.items()} if isinstance(arrays, Mapping) else {(key,): arrays}


def check_lengths(samples: Samples) -> None:
    """Refuse arrays of different lengths.

    Raises:
        SpecError: with a pointer into `/data` at each array that has not as many rows as the first input.
    """
    (first, array), *others = [
        *by_place("x", samples.x).items(),
        *by_place("y", samples.y).items(),
        *by_place("sample_weight", samples.weights).items(),
    ]
    faults = []
    for place, other in others:
        if len(other) != len(array):
            wanted = {"y": "every row needs one label", "sample_weight": "every row needs one weight"}
            text = f"`{'.'.join(first)}` has {len(array):,} rows and `{'.'.join(place)}` has {len(other):,}; "
            text += f"{wanted.get(place[0], 'all inputs need as many')}."
            faults.append(FieldError("length_mismatch", "ValueError", text, pointer_to(("data", *place))))
    if faults:
        raise SpecError(faults)


def read_samples(x: object, y: object, sample_weight: object = None, *, rows: int, values: int) -> Samples:
    """Return inline data as arrays.

    Args:
        x: nested lists of numbers, one entry a sample; of several inputs an object of them by input name.
        y: likewise, one entry a sample.
        sample_weight: likewise, or None.
        rows: most samples.
        values: most numbers of each array, and of all inputs and of all outputs together.

    Raises:
        SpecError: empty, ragged, not numbers, not finite, too many, or of different lengths; pointers into `/data`.
    """
    found: list[FieldError] = []
    read: dict[str, Arrays] = {}
    given = {"x": x, "y": y, **({} if sample_weight is None else {"sample_weight": sample_weight})}
    for key, value in given.items():
        try:
            read[key] = _read(key, value, rows, values, ("data",))
        except SpecError as error:
            found.extend(error.errors)
    if found:
        raise SpecError(found)
    samples = Samples(read["x"], read["y"], read.get("sample_weight"))
    check_lengths(samples)
    return samples


def read_inputs(x: object, *, rows: int, values: int) -> Arrays:
    """Return the `x` of a request that has nothing but inputs, as arrays; limits as in `read_samples`.

    Raises:
        SpecError: likewise, with pointers into `/x`.
    """
    return _read("x", x, rows, values, ())


def _read(key: str, value: object, rows: int, values: int, place: tuple[str, ...]) -> Arrays:
    if not isinstance(value, dict):
        return _Reader(key, rows, values, (*place, key), whole=key == "y").read(value)
    if not value:
        text = f"`{key}` is an empty object; give an array by name for each input or output."
        raise SpecError([FieldError("empty_data", "ValueError", text, pointer_to((*place, key)))])
    found: list[FieldError] = []
    arrays: dict[str, NDArray[Any]] = {}
    for name, item in value.items():
        left = values - sum(array.size for array in arrays.values())
        try:
            reader = _Reader(f"{key}.{name}", rows, left, (*place, key, name), whole=key == "y")
            arrays[name] = reader.read(item)
        except SpecError as error:
            found.extend(error.errors)
    if found:
        raise SpecError(found)
    return arrays


@dataclass(frozen=True)
class _Reader:
    """Reads one array; `key` is what messages call it, `place` where in the request it lies."""

    key: str
    rows: int
    values: int
    place: tuple[str, ...]
    whole: bool

    def read(self, value: object) -> NDArray[Any]:
        if not isinstance(value, list):
            text = f"`{self.key}` must be a list with one entry a sample. Received: {shown(value)}."
            raise self._refused("invalid_type", "TypeError", text)
        if not value:
            raise self._refused("empty_data", "ValueError", f"`{self.key}` is empty; at least one sample is needed.")
        if len(value) > self.rows:
            raise self._too_many(len(value), self.rows, "samples")
        leaves, shape = self._flattened(value)
        self._check_kinds(leaves, shape)
        return self._finite(leaves, shape)

    def _flattened(self, value: list[Any]) -> tuple[list[Any], Index]:
        """Return the leaves in order, and the shape; every list of one level must have the same length."""
        leaves = value
        shape: Index = (len(value),)
        while type(leaves[0]) is list:
            width = len(leaves[0])
            odd = (i for i, item in enumerate(leaves) if type(item) is not list or len(item) != width)
            faults = [self._ragged(leaves, shape, flat, width) for flat in islice(odd, MOST_ERRORS)]
            if faults:
                raise SpecError(faults)
            if not width:
                raise self._refused("empty_data", "ValueError", f"The samples of `{self.key}` are empty lists.")
            if len(leaves) * width > self.values:
                raise self._too_many(len(leaves) * width, self.values, "numbers")
            leaves, shape = list(chain.from_iterable(leaves)), (*shape, width)
        return leaves, shape

    def _ragged(self, leaves: Sequence[Any], shape: Index, flat: int, width: int) -> FieldError:
        index = _unravelled(flat, shape)
        item = leaves[flat]
        got = f"{len(item)} entries" if isinstance(item, list) else shown(item)
        first = place_of(self.key, (0,) * len(shape))
        text = f"{place_of(self.key, index)} has {got}, but {first} has {width}; all samples need one shape."
        return self._fault("ragged_data", "ValueError", text, index)

    def _check_kinds(self, leaves: Sequence[Any], shape: Index) -> None:
        if set(map(type, leaves)) <= {int, float}:
            return
        wrong = ((flat, leaf) for flat, leaf in enumerate(leaves) if type(leaf) not in {int, float})
        raise SpecError(self._kind(_unravelled(flat, shape), leaf) for flat, leaf in islice(wrong, MOST_ERRORS))

    def _kind(self, index: Index, leaf: object) -> FieldError:
        if leaf is None:
            text = (
                f"{place_of(self.key, index)} is null; every value must be a finite number. Fill it in or drop the row."
            )
            return self._fault("data_invalid", "ValueError", text, index)
        ragged = isinstance(leaf, list)
        text = f"{place_of(self.key, index)} must be a number. Received: {shown(leaf)}."
        code, original = ("ragged_data", "ValueError") if ragged else ("data_invalid", "TypeError")
        return self._fault(code, original, text, index)

    def _finite(self, leaves: Sequence[Any], shape: Index) -> NDArray[Any]:
        whole = self.whole and all(type(leaf) is int for leaf in leaves)
        try:
            numbers = np.array(leaves, dtype=np.int64 if whole else np.float64)
        except OverflowError:
            most = 2**63 - 1 if whole else sys.float_info.max
            huge = (flat for flat, leaf in enumerate(leaves) if abs(leaf) > most)
            raise SpecError(self._not_finite(huge, leaves, shape, "is too large")) from None
        bad = np.flatnonzero(~np.isfinite(numbers))
        if bad.size:
            # One cell a row: a row that was never filled is one fault, not as many as it has columns.
            rows, first = np.unique(bad // (len(leaves) // shape[0]), return_index=True)
            raise SpecError(self._not_finite(iter(bad[first].tolist()), leaves, shape, "is not finite", rows.size))
        return numbers.reshape(shape)

    def _not_finite(
        self, flat: Iterator[int], leaves: Sequence[Any], shape: Index, why: str, rows: int = 0
    ) -> Iterator[FieldError]:
        more = f" There are {rows} such rows." if rows > MOST_ERRORS else ""
        for place in islice(flat, MOST_ERRORS):
            index = _unravelled(place, shape)
            text = (
                f"{place_of(self.key, index)} {why}: {shown(leaves[place])}. Every value must be a finite number.{more}"
            )
            yield self._fault("data_invalid", "ValueError", text, index)

    def _too_many(self, count: int, most: int, what: str) -> SpecError:
        text = (
            f"`{self.key}` has {count} {what}; a job may carry at most {most}. Send fewer, or use a built-in data set."
        )
        return self._refused("resource_limit", "ValueError", text)

    def _refused(self, code: str, original: str, text: str) -> SpecError:
        return SpecError([self._fault(code, original, text, ())])

    def _fault(self, code: str, original: str, text: str, index: Index) -> FieldError:
        return FieldError(code, original, text, pointer_to((*self.place, *index)))


def _unravelled(flat: int, shape: Index) -> Index:
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def place_of(key: str, index: Index) -> str:
    """Return the words for a place in an array: `x[3][2]` (row 3, column 2), rows and columns counted from 0."""
    brackets = "".join(f"[{i}]" for i in index)
    where = f" (row {index[0]}, column {index[1]})" if len(index) == 2 else f" (row {index[0]})" if index else ""
    return f"`{key}{brackets}`{where}"
