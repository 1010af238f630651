"""Named arrays and a JSON record <-> one safetensors file, byte for byte the same for the same content.

The format (https://github.com/huggingface/safetensors): eight bytes little-endian length of the header; the header,
a JSON object from name to ``{"dtype", "shape", "data_offsets"}`` padded with spaces to a multiple of eight; the
numbers, little-endian, row by row, without gaps. Nothing in such a file can run code.

Deterministic: arrays lie in the order of falling item size (so that each is aligned), then of name; the header has no
free choice left; the record is JSON with sorted keys in the ``__metadata__`` member ``halfstep``.

A file is believed in nothing: every length is checked against the size of the file before anything is allocated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidType, InvalidValue

Array = NDArray[Any]

DTYPE_NAMES: Mapping[str, np.dtype] = MappingProxyType(
    {
        "F64": np.dtype(np.float64),
        "F32": np.dtype(np.float32),
        "F16": np.dtype(np.float16),
        "BF16": np.dtype(ml_dtypes.bfloat16),
        "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
        "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
        "C64": np.dtype(np.complex64),
        "I64": np.dtype(np.int64),
        "I32": np.dtype(np.int32),
        "I16": np.dtype(np.int16),
        "I8": np.dtype(np.int8),
        "U64": np.dtype(np.uint64),
        "U32": np.dtype(np.uint32),
        "U16": np.dtype(np.uint16),
        "U8": np.dtype(np.uint8),
        "BOOL": np.dtype(np.bool_),
    }
)
"""numpy dtype by the name that safetensors gives it."""

MAX_HEADER_BYTES = 100_000_000
"""The limit of the reference implementation."""

_NAMES = {dtype.name: name for name, dtype in DTYPE_NAMES.items()}
_METADATA = "__metadata__"
_RECORD = "halfstep"
_ALIGNMENT = 8
_PIECE = 1 << 20
_MAX_DIMENSIONS = 64  # numpy's limit


class WritableFile(Protocol):
    """What ``write`` needs of a file."""

    def write(self, data: bytes, /) -> object:
        """Append bytes."""


class ReadableFile(Protocol):
    """What ``read`` needs of a file: any opened for binary reading, ``io.BytesIO``, or fsspec's."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the buffer, return how many bytes it took."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move, return the new place."""


@dataclass(frozen=True)
class Entry:
    """One array of a file: its shape, its numpy dtype, and where its bytes lie, counted from the first array's."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file says before its numbers.

    Attributes:
        entries: the arrays in the order in which they lie in the file.
        meta: the record; of files of other writers their metadata (text to text), empty if there is none.
        data_start: offset of the first array in the file.
    """

    entries: tuple[Entry, ...]
    meta: dict[str, Any]
    data_start: int


def write(file: WritableFile, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    """Write arrays and a record; the same content always gives the same bytes.

    Args:
        file: takes the bytes, from where it stands.
        arrays: by name; any shape and strides, dtypes of ``DTYPE_NAMES``.
        meta: JSON values only, no nan or infinity.

    Raises:
        InvalidType: an array of another dtype, or a record that is not JSON.
        InvalidValue: a name that the format reserves, nan or infinity in the record.
    """
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    file.write(_header_bytes(ordered, meta))
    for _, array in ordered:
        native = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
        flat = native.reshape(-1).view(np.uint8)
        for start in range(0, flat.size, _PIECE):  # a copy of the whole would take as much memory again
            file.write(flat[start : start + _PIECE].tobytes())


def read(file: ReadableFile) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a whole file: the arrays by name, writable and in the dtypes they were written in, and the record.

    Raises:
        InvalidValue: whatever is wrong with the file, with code ``invalid_checkpoint``.
    """
    header = read_header(file)
    file.seek(header.data_start)
    return {entry.name: _read_array(file, entry) for entry in header.entries}, header.meta


def read_header(file: ReadableFile) -> Header:
    """Read and check everything but the numbers; nothing larger than the header is allocated.

    Raises:
        InvalidValue: whatever is wrong with the file, with code ``invalid_checkpoint``.
    """
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
        raise _invalid(f"says its header has {length} bytes, but the file has {size} (header at most 100 MB)")
    members = _parse(file.read(length))
    meta = _meta(members.pop(_METADATA, {}))
    entries = sorted((_entry(name, member) for name, member in members.items()), key=lambda entry: entry.begin)
    _check_layout(entries, size - 8 - length)
    return Header(tuple(entries), meta, 8 + length)


def _header_bytes(ordered: list[tuple[str, Array]], meta: Mapping[str, Any]) -> bytes:
    members: dict[str, Any] = {_METADATA: {_RECORD: _canonical(meta)}}
    end = 0
    for name, array in ordered:
        dtype = _NAMES.get(array.dtype.name)
        if dtype is None:
            raise InvalidType(f"Array {name!r} has dtype {array.dtype}; accepted are {', '.join(_NAMES)}.")
        if name == _METADATA:
            raise InvalidValue(f"An array cannot be named {_METADATA!r}: the format keeps that name for its metadata.")
        begin, end = end, end + array.nbytes
        members[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(members, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _canonical(meta: Mapping[str, Any]) -> str:
    try:
        return json.dumps(meta, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except TypeError as error:
        raise InvalidType(f"The record of a checkpoint must be JSON values: {error}") from error
    except ValueError as error:
        raise InvalidValue(f"The record of a checkpoint must be JSON values, no nan or infinity: {error}") from error


def _parse(text: str | bytes) -> dict[str, Any]:
    try:
        members = json.loads(text if isinstance(text, str) else text.decode(), object_pairs_hook=_without_repetition)
    except InvalidValue:
        raise
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, numbers or nesting beyond all measure
        raise _invalid(f"has a header that is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise _invalid("has a header that is not a JSON object")
    return members


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _invalid("names something twice in its header")
    return members


def _meta(metadata: object) -> dict[str, Any]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _invalid(f"has {_METADATA} that is not an object of text")
    return _parse(metadata[_RECORD]) if _RECORD in metadata else metadata


def _entry(name: str, member: object) -> Entry:
    if not isinstance(member, dict) or set(member) != {"dtype", "shape", "data_offsets"}:
        raise _invalid(f"describes {name!r} by something other than dtype, shape and data_offsets")
    dtype = DTYPE_NAMES.get(member["dtype"]) if isinstance(member["dtype"], str) else None
    if dtype is None:
        raise _invalid(f"has {name!r} in dtype {member['dtype']!r}; accepted are {', '.join(DTYPE_NAMES)}")
    shape, offsets = member["shape"], member["data_offsets"]
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise _invalid(f"gives {name!r} shape {shape!r} and data_offsets {offsets!r}, not lists of natural numbers")
    begin, end = offsets
    if len(shape) > _MAX_DIMENSIONS or math.prod(max(size, 1) for size in shape) >= 2**48:
        raise _invalid(f"gives {name!r} a shape that no array can have")
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise _invalid(f"gives {name!r} {end - begin} bytes, but {member['dtype']} of shape {shape} takes others")
    return Entry(name, dtype, tuple(shape), begin, end)


def _naturals(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_layout(entries: list[Entry], size: int) -> None:
    """Check that the arrays, in order, fill ``size`` bytes without a gap or an overlap."""
    end = 0
    for entry in entries:
        if entry.begin != end:
            fault = "overlaps another" if entry.begin < end else "leaves a gap"
            raise _invalid(f"has {entry.name!r} at byte {entry.begin}, which {fault}: {end} is next")
        end = entry.end
    if end != size:
        raise _invalid(f"has {size} bytes of numbers, but its header describes {end}: truncated or overlong")


def _read_array(file: ReadableFile, entry: Entry) -> Array:
    data = np.empty(entry.end - entry.begin, np.uint8)
    missing = _fill(file, data.data)
    if missing:
        raise _invalid(f"ended {missing} bytes early, within {entry.name!r}")
    if entry.dtype == np.bool_ and data.size and data.max() > 1:
        raise _invalid(f"has truth values other than 0 and 1 in {entry.name!r}")
    return data.view(entry.dtype).reshape(entry.shape)


def _fill(file: ReadableFile, buffer: memoryview) -> int:
    """Fill the buffer (raw files may read in parts); return how many bytes are missing if the file ends before."""
    while buffer.nbytes:
        count = file.readinto(buffer)
        if not count:
            break
        buffer = buffer[count:]
    return buffer.nbytes


def _invalid(fault: str) -> InvalidValue:
    return InvalidValue(f"Not a usable safetensors file: it {fault}.", code="invalid_checkpoint")
