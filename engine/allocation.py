"""What glibc does with memory that numpy frees.

By default an array above some hundred kilobytes goes back to the kernel when it is freed, and the next one is mapped
and zeroed page by page. A training step makes and frees the same arrays over and over, so that this takes up to a third
of its time. Inside `kept` the memory stays with the process, as TensorFlow's and PyTorch's allocators keep theirs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Of mallopt(3).
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_NEVER = 2**31 - 1
"""Bytes, more than which is given back at once: the largest number that mallopt takes."""


@contextmanager
def kept(library: Any = None) -> Iterator[None]:
    """Keep what is freed in this block for the next array; give it back to the kernel at the end.

    glibc's settings are those of the whole process and cannot be read, so they stay set. With another C library nothing
    happens.

    Args:
        library: the C library; None takes the one that this process runs with.
    """
    found = ctypes.CDLL(None) if library is None else library
    mallopt, malloc_trim = _function(found, "mallopt"), _function(found, "malloc_trim")
    mallopt(_MMAP_THRESHOLD, _NEVER)
    mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        malloc_trim(0)


def _function(library: Any, name: str) -> Callable[..., object]:
    """Return a function of the library, or one that does nothing."""
    return getattr(library, name, _nothing)


def _nothing(*_arguments: int) -> None:
    """Stand for what a C library lacks."""
