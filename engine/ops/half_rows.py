"""Sums of 16-bit numbers along the last axis, to the bit as TensorFlow's CPU kernels form them.

Every addition rounds, in Eigen's order. Found by comparing bits with TF 2.4.4 and TF 2.21, whose wheels put eight
numbers into a packet whatever the processor is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.dtypes import DType
from engine.tape import Array, rounded

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
