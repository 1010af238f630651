"""Sums of 16-bit numbers to the bit as TensorFlow's CPU kernels form them: every addition rounds, in Eigen's order.

What overflows on the way is infinite in the end, though a float32 sum of the same numbers would fit again. Found by
comparing bits with TF 2.4.4 and TF 2.21, whose wheels put eight numbers into a packet whatever the processor is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.ops.half_rows import Kernel, row_sums
from engine.ops.reduce import SUM, Axes
from engine.tape import Array, Op, Tensor, apply, rounded


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
