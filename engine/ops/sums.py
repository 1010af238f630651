"""Sums along axes that stay. Of many short rows, numpy's reduction takes them one by one; its einsum does not."""

from __future__ import annotations

import math

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


def column_sums(x: Array, lanes: int) -> Array:
    """Return the sum over all axes but the last, in the order of TensorFlow's CPU kernel.

    Args:
        x: (..., columns).
        lanes: sums that the kernel keeps for each column, one for every so many-th row, which it adds in the end.
    """
    # In C order: numpy adds along whichever axis lies closest in memory, and then in pairs.
    rows = np.ascontiguousarray(x).reshape(math.prod(x.shape[:-1]), x.shape[-1])
    together = len(rows) // lanes * lanes
    found, *others = rows[:together].reshape(together // lanes, lanes * rows.shape[1]).sum(axis=0).reshape(lanes, -1)
    for term in (*others, *rows[together:]):
        found = found + term
    return np.asarray(found)
