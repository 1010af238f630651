"""The .csv format (RFC 4180): commas, perhaps quotes; the first row names the columns, unless it is numbers."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from worker.settings import Limits
from worker.specs.files.content import Content, Faults, Unreadable, check_names, check_size
from worker.specs.wording import shown

LONGEST_LINE = 4 << 20
"""A row has to fit into one block of the parser."""

_CHUNK_BYTES = 1 << 20

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WHOLE = r"^[+-]?\d{1,18}$"


@dataclass
class _Column:
    """One column over all batches; `good` and `bad` count cells that are numbers and others."""

    name: str
    chunks: list[NDArray[Any]] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    good: int = 0

    def add(self, cells: pa.Array, first_row: int) -> None:
        """Take the cells of a batch of rows, the first of which has this number."""
        cells = pc.utf8_trim_whitespace(cells)
        numbers = pc.match_substring_regex(cells, _NUMBER).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(~numbers).tolist():
            cell = cells[row].as_py()
            said = (
                f"must be a finite number. Received: {shown(cell)}."
                if cell
                else "is empty. Fill it in or drop the row."
            )
            self.faults.add(first_row + row, self.name, said)
        self.good += int(numbers.sum())
        if self.faults.total:
            self.chunks.clear()
            return
        whole = pc.all(pc.match_substring_regex(cells, _WHOLE)).as_py()
        self.chunks.append(pc.cast(cells, pa.int64() if whole else pa.float64()).to_numpy(zero_copy_only=False))

    @property
    def text(self) -> bool:
        """Whether it is a column of text: most cells are no numbers. A few of those among numbers are faults."""
        return self.faults.total > self.good


def read(file: BinaryIO, limits: Limits) -> Content:
    """Read a .csv file; every cell that is no number among numbers is noted, and every row of another length."""
    _check_text(file)
    names, headed = _names(file, limits)
    check_names(names, limits.file_columns)
    columns = [_Column(name) for name in names]
    ragged, rows = Faults(), 0
    file.seek(0)
    try:
        for batch in _batches(file, headed, ragged):
            check_size((rows + batch.num_rows) * len(columns), limits.file_values)
            for column, cells in zip(columns, batch.columns, strict=True):
                column.add(cells, rows)
            rows += batch.num_rows
    except pa.ArrowException as error:
        text = f"The file cannot be read as UTF-8 text with commas: {_said(error)}."
        raise Unreadable(text) from error
    ragged.raise_if_any()
    if not rows:
        raise Unreadable("The file has no rows below the names of its columns.", "empty_data")
    _judge(columns)
    usable = {column.name: np.concatenate(column.chunks) for column in columns if not column.faults.total}
    return Content(usable, tuple(names), tabular=True)


def _check_text(file: BinaryIO) -> None:
    """Refuse bytes that are no UTF-8: the parser would drop such a row without a word if its length is wrong too."""
    file.seek(0)
    decoder, lines = codecs.getincrementaldecoder("utf-8")(), 1
    chunk = b"-"
    while chunk:
        chunk = file.read(_CHUNK_BYTES)
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line = lines + error.object[: error.start].count(b"\n")
            raise Unreadable(f"Line {line} is not UTF-8 text; save the file as CSV UTF-8.", "invalid_text") from error
        lines += chunk.count(b"\n")


def _judge(columns: Sequence[_Column]) -> None:
    """Raise what is wrong with the columns of numbers, in the order of the rows."""
    found = Faults()
    for column in columns:
        if not column.text:
            found.listed.extend(column.faults.listed)
            found.total += column.faults.total
    found.listed.sort(key=lambda fault: int(fault.pointer.split("/")[2]))
    found.raise_if_any()


def _names(file: BinaryIO, limits: Limits) -> tuple[list[str], bool]:
    """Return the names of the columns, and whether the first row holds them."""
    file.seek(0)
    line = file.readline(LONGEST_LINE + 1)
    if len(line) > LONGEST_LINE or line.count(b",") >= 2 * limits.file_columns:
        text = f"The first row is longer than {LONGEST_LINE:,} bytes or {limits.file_columns:,} columns."
        raise Unreadable(text, "resource_limit")
    # A lone carriage return ends a line too, on old systems.
    first = line.decode("utf-8-sig", "replace").replace("\r", "\n").lstrip("\n").split("\n")[0]
    if not first.strip():
        raise Unreadable("The first row is empty; it holds the names of the columns, or numbers.", "empty_data")
    cells = _cells(first)
    numbers = pc.all(pc.match_substring_regex(pa.array(cells, pa.string()), _NUMBER)).as_py()
    names = [str(index) if numbers or not cell else cell for index, cell in enumerate(cells)]
    return names, not numbers


def _cells(line: str) -> list[str]:
    try:
        options = csv.ReadOptions(autogenerate_column_names=True, use_threads=False, block_size=LONGEST_LINE + 16)
        table = csv.read_csv(pa.BufferReader(line.encode() + b"\n"), read_options=options, convert_options=_AS_TEXT())
    except pa.ArrowException as error:
        raise Unreadable(f"The first row cannot be read as text with commas: {_said(error)}.") from error
    if table.num_rows != 1:
        raise Unreadable("The first row cannot be read as text with commas; a quoted name may hold no line break.")
    return [str(column[0].as_py()).strip() for column in table.columns]


_AS_TEXT = partial(csv.ConvertOptions, default_column_type=pa.string(), strings_can_be_null=False)


def _batches(file: BinaryIO, headed: bool, ragged: Faults) -> Iterator[pa.RecordBatch]:
    def note(row: csv.InvalidRow) -> str:
        number = (row.number or 1) - 1 - headed
        ragged.add(number, None, f"has {row.actual_columns} cells, not {row.expected_columns}.")
        return "skip"

    options = csv.ReadOptions(autogenerate_column_names=True, use_threads=False, block_size=LONGEST_LINE, skip_rows=0)
    parse = csv.ParseOptions(invalid_row_handler=note)
    with csv.open_csv(pa.PythonFile(file, "r"), options, parse, _AS_TEXT()) as reader:
        for batch in reader:
            yield batch.slice(1) if headed and batch.num_rows else batch
            headed = headed and not batch.num_rows


def _said(error: Exception) -> str:
    return str(error).split("\n", maxsplit=1)[0][:200].rstrip(".")
