"""Sums along axes that stay. Of many short rows, numpy's reduction takes them one by one; its einsum does not."""

from __future__ import annotations

import numpy as np

from engine.tape import Array

LONG = 4096
"""Numbers in a row from which on numpy's pairwise sum is the more accurate one."""


def total(x: Array, axis: int | tuple[int, ...]) -> Array:
    """Return the sum over the axes, which stay with length 1."""
    last = x.ndim - 1
    if x.shape[-1] < LONG and axis in {-1, last, (-1,), (last,)}:
        return np.einsum("...i->...", x)[..., np.newaxis]
    return x.sum(axis=axis, keepdims=True)


def average(x: Array, axes: tuple[int, ...]) -> Array:
    """Return the mean over the axes, which stay with length 1."""
    found = total(x, axes)
    return found / x.dtype.type(x.size // max(found.size, 1))
