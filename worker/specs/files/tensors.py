"""The .safetensors format; the reader is the engine's, which believes nothing."""

from __future__ import annotations

import math
from io import BufferedIOBase
from typing import BinaryIO, cast

import numpy as np

from engine import checkpoint
from engine.errors import InvalidValue
from worker.settings import Limits
from worker.specs.files.content import Content, Unreadable, check_names, check_size

LONGEST_HEADER = 8 << 20
"""Room for tens of thousands of arrays."""


def read(file: BinaryIO, limits: Limits) -> Content:
    """Read a .safetensors file; complex arrays and those without rows are named and left."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > LONGEST_HEADER:
        raise Unreadable(f"The file says its header has {length:,} bytes; the limit is {LONGEST_HEADER:,}.")
    try:
        readable = cast(BufferedIOBase, file)
        header = checkpoint.read_header(readable)
        check_names([entry.name for entry in header.entries], limits.file_columns)
        check_size(sum(math.prod(entry.shape) for entry in header.entries), limits.file_values)
        arrays, _ = checkpoint.read(readable)
    except InvalidValue as error:
        raise Unreadable(error.message) from error
    usable = {name: array for name, array in arrays.items() if array.ndim and not np.iscomplexobj(array)}
    for name, array in usable.items():
        if not array.size:
            raise Unreadable(f"Array {name!r} has shape {list(array.shape)}: no values.", "empty_data")
    return Content(usable, tuple(arrays), tabular=False)
