"""The .jsonl format: one JSON object a line, all with the same keys: `{"x": [0.0, 1.0], "y": 1}` or flat columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from worker.settings import Limits
from worker.specs.files.content import Content, Faults, Unreadable, check_names, check_size
from worker.specs.wording import shown

LONGEST_LINE = 8 << 20
MOST_AXES = 8
_CHUNK_ROWS = 1024
_NUMBERS = frozenset({int, float})


@dataclass
class _Column:
    """One key over all rows; rows are gathered into arrays as they come, so that no more than some are Python objects.

    Attributes:
        text: whether it holds text, as its first row says; text is not kept.
        shape: of one row, told by the first good one.
    """

    name: str
    text: bool
    shape: tuple[int, ...] | None = None
    pending: list[list[Any]] = field(default_factory=list)
    chunks: list[NDArray[Any]] = field(default_factory=list)

    def add(self, value: object) -> str | None:
        """Take a row's value; return why it cannot be taken."""
        if self.text:
            return None if isinstance(value, str) else f"must be text, as in row 0. Received: {shown(value)}."
        leaves, shape = _flattened(value)
        if shape is None:
            return "must be a number, or lists of numbers of equal lengths; these lists are uneven, empty or too deep."
        wrong = [leaf for leaf in leaves if type(leaf) not in _NUMBERS]
        if wrong:
            return f"must be a number, or lists of numbers. Received: {shown(wrong[0])}."
        if not all(abs(leaf) < 2**63 for leaf in leaves if type(leaf) is int):
            return "holds an integer of more than 63 bits."
        self.shape = shape if self.shape is None else self.shape
        if shape != self.shape:
            return f"has shape {list(shape)}, but rows before have {list(self.shape)}; all rows need one shape."
        self.pending.append(leaves)
        if len(self.pending) == _CHUNK_ROWS:
            self.gather()
        return None

    def gather(self) -> None:
        """Make an array of the rows that wait."""
        if self.pending:
            leaves = list(chain.from_iterable(self.pending))
            whole = all(type(leaf) is int for leaf in leaves)
            numbers = np.array(leaves, dtype=np.int64 if whole else np.float64)
            self.chunks.append(numbers.reshape(len(self.pending), *(self.shape or ())))
            self.pending.clear()

    def array(self) -> NDArray[Any]:
        """Return all rows."""
        self.gather()
        return np.concatenate(self.chunks)


def _flattened(value: object) -> tuple[list[Any], tuple[int, ...] | None]:
    """Return the leaves of nested lists in order, and their shape; None if the lists are ragged, empty or too deep."""
    leaves: list[Any] = [value]
    shape: tuple[int, ...] = ()
    while type(leaves[0]) is list:
        width = len(leaves[0])
        if not width or len(shape) == MOST_AXES or any(type(leaf) is not list or len(leaf) != width for leaf in leaves):
            return leaves, None
        leaves, shape = list(chain.from_iterable(leaves)), (*shape, width)
    return leaves, shape


def read(file: BinaryIO, limits: Limits) -> Content:
    """Read a .jsonl file; every bad row is noted, and the reading goes on."""
    faults, columns, values = Faults(), dict[str, _Column](), 0
    for number, row in enumerate(_rows(file, faults)):
        if row is None:
            continue
        if not columns:
            check_names(list(row), limits.file_columns)
            columns = {name: _Column(name, isinstance(value, str)) for name, value in row.items()}
        values += _take(number, row, columns, faults)
        check_size(values, limits.file_values)
    faults.raise_if_any()
    if not columns:
        raise Unreadable('The file has no rows; write one JSON object a line: {"x": [0.5, 1.0], "y": 1}', "empty_data")
    usable = {name: column.array() for name, column in columns.items() if not column.text}
    return Content(usable, tuple(columns), tabular=True)


def _take(number: int, row: dict[str, Any], columns: dict[str, _Column], faults: Faults) -> int:
    """Take one row; return how many numbers it has."""
    if row.keys() != columns.keys():
        missing = [name for name in columns if name not in row]
        more = [name[:40] for name in row if name not in columns]
        faults.add(number, None, f"has other keys than row 0 (missing: {missing[:10]}, more: {more[:10]}).")
        return 0
    for name, column in columns.items():
        why = column.add(row[name])
        if why is not None:
            faults.add(number, name, why)
    return sum(math.prod(column.shape or ()) for column in columns.values())


def _rows(file: BinaryIO, faults: Faults) -> Iterator[dict[str, Any] | None]:
    """Yield the rows; None for one that is no JSON object. Blank lines are no rows."""
    file.seek(0)
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise Unreadable(
                f"Row {number} is longer than {LONGEST_LINE:,} bytes; one line is one row.", "resource_limit"
            )
        if not line.strip():
            continue
        yield _parsed(line, number, faults)
        number += 1


def _parsed(line: bytes, number: int, faults: Faults) -> dict[str, Any] | None:
    try:
        row = from_json(line, allow_inf_nan=True)
    except ValueError as error:
        faults.add(number, None, f"is not JSON: {error}.")
        return None
    if isinstance(row, dict) and row:
        return row
    faults.add(number, None, f'must be an object such as {{"x": [0.5, 1.0], "y": 1}}. Received: {shown(row)}.')
    return None
