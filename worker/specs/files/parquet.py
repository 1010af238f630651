"""The .parquet format, read by pyarrow after its own account of its sizes was held against the limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worker.settings import Limits
from worker.specs.files.content import Content, Faults, Unreadable, check_names, check_size

_THRIFT_BYTES = 16 << 20
_BATCH_ROWS = 16_384
_BYTES_A_VALUE = 16
_MOST_AXES = 8


def read(file: BinaryIO, limits: Limits) -> Content:
    """Read a .parquet file: columns of numbers, or of lists of numbers that are all of one length."""
    file.seek(0)
    try:
        return _read(file, limits)
    except Unreadable:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        said = str(error).split("\n", maxsplit=1)[0][:200].rstrip(".")
        raise Unreadable(f"The file is damaged, or no .parquet at all: {said}.") from error


def _read(file: BinaryIO, limits: Limits) -> Content:
    opened = pq.ParquetFile(
        pa.PythonFile(file, "r"),
        thrift_string_size_limit=_THRIFT_BYTES,
        thrift_container_size_limit=_THRIFT_BYTES // 16,
    )
    schema = opened.schema_arrow
    check_names(schema.names, limits.file_columns)
    usable = [index for index, kind in enumerate(schema.types) if _is_numbers(kind)]
    _check_sizes(opened.metadata, limits)
    if opened.metadata.num_rows < 1:
        raise Unreadable("The file has no rows.", "empty_data")
    faults = Faults()
    parts: dict[str, list[NDArray[Any]]] = {schema.names[index]: [] for index in usable}
    shapes: dict[str, tuple[int, ...]] = {}
    row = values = 0
    names = list(parts)
    for batch in _batches(opened, names):
        for name, column in zip(names, batch.columns, strict=True):
            _take(column, name, row, parts, shapes, faults)
        values += sum(chunks[-1].size for chunks in parts.values() if chunks)
        check_size(values, limits.file_values)
        row += batch.num_rows
    faults.raise_if_any()
    if row != opened.metadata.num_rows and names:
        raise Unreadable(
            f"The file says it has {opened.metadata.num_rows:,} rows, but {row:,} are there; write it again."
        )
    arrays = {name: np.concatenate(chunks) for name, chunks in parts.items()}
    return Content(arrays, tuple(schema.names), tabular=True)


def _batches(opened: pq.ParquetFile, names: list[str]) -> Iterator[pa.RecordBatch]:
    if names:
        yield from opened.iter_batches(batch_size=_BATCH_ROWS, columns=names, use_threads=False)


def _is_numbers(kind: pa.DataType) -> bool:
    for _ in range(_MOST_AXES):
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
            break
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _check_sizes(metadata: pq.FileMetaData, limits: Limits) -> None:
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    check_size(max(metadata.num_rows * max(metadata.num_columns, 1), 0), limits.file_values)
    check_size(sum(max(chunk.num_values, 0) for chunk in chunks), limits.file_values)
    size = sum(max(chunk.total_uncompressed_size, 0) for chunk in chunks)
    if size > _BYTES_A_VALUE * limits.file_values:
        text = f"The file unpacks to {size:,} bytes; the limit is {_BYTES_A_VALUE * limits.file_values:,}."
        raise Unreadable(text, "resource_limit")


def _take(
    column: pa.Array,
    name: str,
    row: int,
    parts: dict[str, list[NDArray[Any]]],
    shapes: dict[str, tuple[int, ...]],
    faults: Faults,
) -> None:
    """Add the rows of a batch to their column, or note what is wrong with them."""
    for empty in _nulls(column):
        faults.add(row + empty, name, "is null, or holds a null. Fill it in or drop the row.")
    if faults.total:
        return
    array, lengths = _dense(column)
    if array is None:
        for index in lengths:
            faults.add(row + index, name, "is a list of another length than rows before; all rows need one shape.")
        return
    shape = shapes.setdefault(name, array.shape[1:])
    if array.shape[1:] != shape:
        faults.add(row, name, f"has shape {list(array.shape[1:])}, but row 0 has {list(shape)}.")
        return
    parts[name].append(array)


def _nulls(column: pa.Array) -> list[int]:
    """Return rows that are null, or hold one at any depth."""
    if not _has_nulls(column):
        return []
    plain = pc.is_null(column).to_numpy(zero_copy_only=False)
    if pa.types.is_nested(column.type):
        inner = _nulls(column.flatten())
        parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        plain[parents[inner]] = True
    return [int(index) for index in np.flatnonzero(plain)]


def _has_nulls(column: pa.Array) -> bool:
    while pa.types.is_nested(column.type):
        if column.null_count:
            return True
        column = column.flatten()
    return bool(column.null_count)


def _dense(column: pa.Array) -> tuple[NDArray[Any] | None, list[int]]:
    """Return the column as an array, or None and the rows whose lists have another length than the first's."""
    if not pa.types.is_nested(column.type):
        return column.to_numpy(zero_copy_only=False), []
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    odd = np.flatnonzero(lengths != lengths[0])
    if odd.size:
        return None, odd.tolist()
    inner, bad = _dense(column.flatten())
    if inner is None:
        return None, sorted({int(index) // int(lengths[0]) for index in bad})
    if not lengths[0]:
        return None, list(range(len(lengths)))
    return inner.reshape(len(column), int(lengths[0]), *inner.shape[1:]), []
