"""What the C library does with freed memory between two steps of a training."""

from __future__ import annotations

import numpy as np

_LARGEST = 31 * 2**20
"""Bytes: just below the most that glibc ever takes as a sign of what a program is going to ask for again (32 MiB)."""


def keep_freed_memory() -> None:
    """Let the C library keep what a step frees, because the next step wants it again.

    glibc gives freed memory back to the kernel, which then has to clear every page that the next step touches: 2.5 of
    the 9.5 ms of a float32 784-512-512-10 step (measured). How much it keeps follows the largest block that was ever
    freed (M_MMAP_THRESHOLD in mallopt(3)): so free one that nobody has touched, which costs no memory. Elsewhere, this
    does nothing.
    """
    np.empty(_LARGEST, np.uint8)
