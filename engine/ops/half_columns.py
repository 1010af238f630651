"""Sums of float16 numbers along outer axes, to the bit as TensorFlow's CPU kernels form them: one after the other."""

from __future__ import annotations

import math

import numpy as np

from engine.dtypes import FLOAT16
from engine.ops.half_rows import EIGEN_2025, row_sums
from engine.tape import Array

VECTOR = 8
"""Float16 numbers that Eigen adds at once."""
_LEAST = 16
"""Numbers from which on Eigen of TF 2.21 keeps several partial sums."""


def in_order(rows: Array, lanes: int = 1) -> Array:
    """Return the sum of rows (n, ...), each addition rounded; row i belongs to partial sum ``i % lanes``.

    The partial sums are added in their order, then the rows that are left over.
    """
    # In C order: numpy adds along whichever axis lies closest in memory, and then in pairs.
    narrow = np.ascontiguousarray(rows, np.float16)
    whole = len(rows) // lanes
    grouped = narrow[: whole * lanes].reshape(whole, lanes * math.prod(rows.shape[1:]))
    # Accumulated, not reduced: of a single column numpy's reduction adds pairs.
    sums = np.add.accumulate(grouped)[-1] if grouped.shape[1] == 1 and whole else np.add.reduce(grouped)
    found, *others = sums.reshape(lanes, *rows.shape[1:])
    for row in (*others, *narrow[whole * lanes :]):
        found = found + row
    return found.astype(rows.dtype)


def outer_sum(x: Array, axes: tuple[int, ...], lanes: int) -> Array:
    """Return the sum over axes (in order, not negative, the last one not among them), which are left out."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    count = math.prod(x.shape[axis] for axis in axes)
    shape = [x.shape[axis] for axis in kept]
    rows = np.ascontiguousarray(x.transpose(*axes, *kept)).reshape(count, *shape)
    inner = math.prod(x.shape[axes[-1] + 1 :])
    full = inner // VECTOR * VECTOR if lanes > 1 and count >= _LEAST else 0
    if not full:
        return in_order(rows)
    flat = rows.reshape(count, -1, inner)
    parts = [in_order(flat[..., :full], lanes), in_order(flat[..., full:])]
    return np.concatenate(parts, axis=-1).reshape(shape)


def sum_to(x: Array, axes: tuple[int, ...], lanes: int = 4) -> Array:
    """Return the sum of float16 numbers over axes (in order, not negative), which stay with length 1.

    Args:
        x: on the grid of float16.
        axes: leading, trailing or any others; of mixed ones the sum is float32 and rounded once.
        lanes: ``conventions.sum_lanes``.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if axes[-1] < x.ndim - 1:
            return np.expand_dims(outer_sum(x, axes, lanes), axes)
        if axes == tuple(range(axes[0], x.ndim)):
            rows = x.reshape(math.prod(x.shape[: axes[0]]), math.prod(x.shape[axes[0] :]))
            sums = row_sums(rows, EIGEN_2025, FLOAT16)
            return sums.reshape(*x.shape[: axes[0]], *(1 for _ in axes))
    return x.sum(axis=axes, keepdims=True)
