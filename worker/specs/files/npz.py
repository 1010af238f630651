"""The .npz format: a zip of .npy files. Sizes are held against the limits before anything is unpacked."""

from __future__ import annotations

import math
import zipfile
from typing import Any, BinaryIO, cast

from numpy.typing import NDArray

from worker.settings import Limits
from worker.specs.files import npy
from worker.specs.files.content import Content, Unreadable, check_names, check_size, check_unpacked
from worker.zips import DAMAGES

LONGEST_READ = 4 << 20
"""Bytes of one read: the directory of the zip comes in one, and has tens of thousands of members at this length."""
MOST_SQUEEZED = 1100
"""Deflate makes at most 1032 bytes of one; what says more lies about its size."""

_SUFFIX = ".npy"


class _Measured:
    """A file from which no more than `LONGEST_READ` bytes are read at once, whatever its directory says."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size if 0 <= size <= LONGEST_READ else LONGEST_READ + 1)
        if len(data) > LONGEST_READ:
            raise Unreadable("The file is no .npz that numpy would write: its directory has an absurd length.")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def read(file: BinaryIO, limits: Limits) -> Content:
    """Read an .npz file; arrays of text are named and left."""
    try:
        with zipfile.ZipFile(cast(BinaryIO, _Measured(file))) as archive:
            return _read(archive, limits)
    except Unreadable:
        raise
    except DAMAGES as error:
        text = f"The file is damaged, or no .npz at all ({type(error).__name__}); write it with numpy.savez."
        raise Unreadable(text) from error


def _read(archive: zipfile.ZipFile, limits: Limits) -> Content:
    members = {_name(info): info for info in archive.infolist()}
    check_names([_name(info) for info in archive.infolist()], limits.file_columns)
    headers = {name: _header(archive, info, name) for name, info in members.items()}
    check_size(sum(math.prod(header.shape) for header in headers.values()), limits.file_values)
    usable = {name: header for name, header in headers.items() if header.dtype is not None and header.shape}
    packed = sum(info.compress_size for info in members.values())
    check_unpacked(packed, sum(header.nbytes for header in usable.values()))
    for name, header in usable.items():
        if not header.nbytes:
            raise Unreadable(f"Array {name!r} has shape {list(header.shape)}: no values.", "empty_data")
    arrays = {name: _array(archive, members[name], header, name) for name, header in usable.items()}
    return Content(arrays, tuple(headers), tabular=False)


def _name(info: zipfile.ZipInfo) -> str:
    if not info.filename.endswith(_SUFFIX):
        text = f"The file holds {info.filename[:60]!r}, which is no array; an .npz holds .npy files only."
        raise Unreadable(text)
    return info.filename.removesuffix(_SUFFIX)


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> npy.Header:
    what = f"Array {name!r}"
    if info.file_size > MOST_SQUEEZED * max(info.compress_size, 1):
        text = f"{what} says that {info.compress_size:,} bytes hold {info.file_size:,}, which no compression does."
        raise Unreadable(text, "resource_limit")
    with archive.open(info) as member:
        header = npy.read_header(cast(BinaryIO, member), what)
    if header.dtype is not None and header.start + header.nbytes != info.file_size:
        raise Unreadable(
            f"{what} has {info.file_size - header.start:,} bytes of numbers, but its header says {header.nbytes:,}."
        )
    return header


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: npy.Header, name: str) -> NDArray[Any]:
    with archive.open(info) as opened:
        member = cast(BinaryIO, opened)
        member.read(header.start)
        array = npy.read_array(member, header, f"Array {name!r}")
        member.read(1)  # the end is where the checksum is compared
    return array
