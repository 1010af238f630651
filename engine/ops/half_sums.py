"""Sums of 16-bit numbers to the bit as TensorFlow's CPU kernels form them: every addition rounds, in Eigen's order.

What overflows on the way is infinite in the end, though a float32 sum of the same numbers would fit again. Found by
comparing bits with TF 2.4.4 and TF 2.21, whose wheels put eight numbers into a packet whatever the processor is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.ops.reduce import SUM, Axes
from engine.tape import Array, Op, Tensor, apply, rounded

LANES = 8
"""Numbers in a packet."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """How a release of Eigen computes in 16 bits: how it adds up a row, and what it rounds beside.

    Attributes:
        leaf: packets of the longest row that is not halved.
        streams: packets that are added at the same time, each to a sum of its own.
        rest_first: whether packets left over join the first sum before the sums are added, or after.
        inverse_steps: whether a reciprocal root always rounds its root first, and the slope of softplus is
            ``1 / (1 + exp(-x))``, not ``exp(x) / (1 + exp(x))``.
    """

    leaf: int
    streams: int
    rest_first: bool
    inverse_steps: bool


EIGEN_2020 = Kernel(leaf=1024, streams=2, rest_first=True, inverse_steps=True)
"""In TF 2.4."""
EIGEN_2025 = Kernel(leaf=200, streams=4, rest_first=False, inverse_steps=False)
"""In TF 2.21."""


def _leaf(rows: Array, kernel: Kernel, dtype: DType) -> Array:
    count, size = rows.shape
    in_packets = size // LANES * LANES
    packets = rows[:, :in_packets].reshape(count, size // LANES, LANES)
    together = packets.shape[1] // kernel.streams * kernel.streams
    sums = np.zeros((count, kernel.streams, LANES), rows.dtype)
    for start in range(0, together, kernel.streams):
        sums = rounded(sums + packets[:, start : start + kernel.streams], dtype)
    total = sums[:, 0]
    rest = [packets[:, index] for index in range(together, packets.shape[1])]
    others = [sums[:, index] for index in range(1, kernel.streams)]
    for term in (*rest, *others) if kernel.rest_first else (*others, *rest):
        total = rounded(total + term, dtype)
    single = np.zeros(count, rows.dtype)
    for index in range(in_packets, size):
        single = rounded(single + rows[:, index], dtype)
    return rounded(single + rounded(total.sum(axis=1), dtype), dtype)


def _rows(rows: Array, first: int, kernel: Kernel, dtype: DType) -> Array:
    """Return the sum of each row; `first` is where they begin within a packet, for rows are halved between packets."""
    size = rows.shape[1]
    if size <= LANES * kernel.leaf:
        return _leaf(rows, kernel, dtype)
    cut = min(math.ceil((first + math.ceil(size / 2)) / LANES) * LANES - first, size)
    left = _rows(rows[:, :cut], first, kernel, dtype)
    return rounded(left + _rows(rows[:, cut:], 0, kernel, dtype), dtype) if cut < size else left


def row_sums(rows: Array, kernel: Kernel, dtype: DType) -> Array:
    """Return the sum of each row of a matrix, shape (rows,)."""
    count, size = rows.shape
    if size <= LANES * kernel.leaf or size % LANES == 0:
        return _rows(rows, 0, kernel, dtype)
    sums = np.empty(count, rows.dtype)
    for start in range(min(LANES, count)):
        sums[start::LANES] = _rows(rows[start::LANES], start * size % LANES, kernel, dtype)
    return sums


def _first_axis(columns: Array, dtype: DType) -> Array:
    total = np.zeros(columns.shape[1], columns.dtype)
    for row in columns:
        total = rounded(total + row, dtype)
    return total


def sums(dtype: DType, x: Array, axis: Axes, keepdims: bool, kernel: Kernel) -> tuple[Array, Any]:
    """Return the sums over the axes, as the forward rule of an op."""
    if not dtype.low_precision:  # what an observer asks for: the sum before any rounding
        return SUM.forward(dtype, x, axis, keepdims)
    given = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = sorted(each % x.ndim for each in given)
    kept = [each for each in range(x.ndim) if each not in axes]
    shape = [x.shape[each] for each in kept]
    count = math.prod(x.shape[each] for each in axes)
    if axes and axes[-1] < x.ndim - 1:
        found = _first_axis(x.transpose(*axes, *kept).reshape(count, math.prod(shape)), dtype)
    else:
        found = row_sums(x.transpose(*kept, *axes).reshape(math.prod(shape), count), kernel, dtype)
    whole = [1 if each in axes else x.shape[each] for each in range(x.ndim)] if keepdims else shape
    return found.reshape(whole), (x.shape, axis, keepdims)


HALF_SUM = Op("sum", sums, SUM.backward, on_grid=True, gradient_on_grid=True)


def half_sum(x: Tensor, kernel: Kernel, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Return the sum of 16-bit numbers over the axes; over all of them, shape (), when omitted."""
    return apply(HALF_SUM, x, axis=axis, keepdims=keepdims, kernel=kernel)
