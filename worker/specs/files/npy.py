"""The .npy format: a header that says dtype and shape, then the numbers. Read by our own code: nothing is unpickled.

Source: numpy's NEP 1 and `numpy.lib.format`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from worker.settings import Limits
from worker.specs.files.content import Content, Unreadable, check_names, check_size

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 10_000
"""numpy's own limit for files of strangers."""
MOST_AXES = 16

_ITEM = r"'(?:descr|fortran_order|shape)'\s*:\s*(?:'[^'\\]*'|True|False|\([\d,\s]*\))"
_HEADER = re.compile(rf"\{{\s*(?:{_ITEM}\s*(?:,\s*)?)*\}}\s*")
_MEMBERS = re.compile(r"'(descr|fortran_order|shape)'\s*:\s*('[^'\\]*'|True|False|\([\d,\s]*\))")
_DESCR = re.compile(r"'([<>|=])(b1|i[1248]|u[1248]|f[248])'")
_OTHER = re.compile(r"'[<>|=]?([A-Za-z])[^']*'")
_TEXT_KINDS = frozenset("USMmc")
_LENGTH_BYTES: Mapping[bytes, int] = MappingProxyType({b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4})


@dataclass(frozen=True)
class Header:
    """What an .npy file says of its numbers.

    Attributes:
        dtype: of the numbers; None for text, dates and complex numbers, which no model takes.
        shape: rows first.
        fortran: whether the first axis runs fastest.
        start: offset of the numbers.
    """

    dtype: np.dtype | None
    shape: tuple[int, ...]
    fortran: bool
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * (self.dtype.itemsize if self.dtype else 0)


def read_header(file: BinaryIO, what: str) -> Header:
    """Read up to the numbers; at most some kilobytes.

    Args:
        file: at the start of the header.
        what: how messages call it.

    Raises:
        Unreadable: it is no .npy header, or one of an object array, which would have to be unpickled.
    """
    start = file.read(8)
    width = _LENGTH_BYTES.get(start[6:8], 0)
    if not start.startswith(MAGIC) or not width:
        raise Unreadable(f"{what} does not begin as an .npy file does; write it with numpy.save or numpy.savez.")
    length = int.from_bytes(file.read(width), "little")
    if length > LONGEST_HEADER:
        raise Unreadable(f"{what} has a header of {length:,} bytes; the limit is {LONGEST_HEADER:,}.")
    text = file.read(length).decode("latin-1")
    members = dict(_MEMBERS.findall(text))
    if "'descr'" in text and re.search(r"'descr'\s*:\s*\[", text):
        raise Unreadable(f"{what} has a structured dtype; save each field as an array of its own (numpy.savez).")
    if len(text) != length or not _HEADER.fullmatch(text) or len(members) != 3:
        raise Unreadable(f"{what} has a damaged header; write the file again.")
    return Header(
        dtype=_dtype(members["descr"], what),
        shape=_shape(members["shape"], what),
        fortran=members["fortran_order"] == "True",
        start=8 + width + length,
    )


def _dtype(said: str, what: str) -> np.dtype | None:
    match = _DESCR.fullmatch(said)
    if match:
        return np.dtype(match[1] + match[2])
    other = _OTHER.fullmatch(said)
    if other and other[1] == "O":
        text = (
            f"{what} holds Python objects, which are pickled and never loaded here. Save numbers: x.astype('float32')."
        )
        raise Unreadable(text, "pickle_refused")
    if other and other[1] in _TEXT_KINDS:
        return None
    raise Unreadable(f"{what} has dtype {said[:40]}; accepted are bool, int8 to uint64 and float16 to float64.")


def _shape(said: str, what: str) -> tuple[int, ...]:
    sizes = [part.strip() for part in said[1:-1].split(",") if part.strip()]
    if len(sizes) > MOST_AXES or not all(size.isdecimal() and len(size) <= 18 for size in sizes):
        raise Unreadable(f"{what} has a shape that no array here can have: {said[:60]}.")
    return tuple(map(int, sizes))


def read_array(file: BinaryIO, header: Header, what: str) -> NDArray[Any]:
    """Read the numbers of a checked header, in native byte order; the file stands behind the header.

    Raises:
        Unreadable: the file ends before the numbers do.
    """
    buffer = np.empty(header.nbytes, np.uint8)
    view, filled = buffer.data, 0
    while filled < len(view):
        chunk = file.read(min(len(view) - filled, 1 << 20))
        if not chunk:
            raise Unreadable(f"{what} ends after {filled:,} of its {len(view):,} bytes of numbers; upload it again.")
        view[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    dtype = header.dtype or np.dtype(np.uint8)
    if dtype == np.bool_ and buffer.size and buffer.max() > 1:
        raise Unreadable(f"{what} has truth values other than 0 and 1.")
    array = buffer.view(dtype).reshape(header.shape, order="F" if header.fortran else "C")
    return np.ascontiguousarray(array, dtype=dtype.newbyteorder("="))


def read(file: BinaryIO, limits: Limits) -> Content:
    """Read an .npy file: a matrix is a table whose columns are called "0", "1", ...; any other array is `x`."""
    what = "The file"
    header = read_header(file, what)
    if header.dtype is None or not header.shape:
        raise Unreadable("The file holds text or a single value; training needs an array of numbers with rows.")
    check_size(math.prod(header.shape), limits.file_values)
    size = file.seek(0, 2)
    if size != header.start + header.nbytes:
        numbers = size - header.start
        text = f"The file has {numbers:,} bytes of numbers, but its header says {header.nbytes:,}; write it again."
        raise Unreadable(text)
    file.seek(header.start)
    if not header.nbytes:
        raise Unreadable(f"The array has shape {list(header.shape)}: no values.", "empty_data")
    array = read_array(file, header, what)
    if array.ndim != 2:
        return Content({"x": array}, ("x",), tabular=False)
    names = [str(column) for column in range(array.shape[1])]
    check_names(names, limits.file_columns)
    return Content({name: array[:, int(name)] for name in names}, tuple(names), tabular=True)
