"""Sums and means as the kernels of a line of Keras form them, which decides what overflows in float16.

Keras 2 calls TensorFlow's ``reduce_mean``, which divides a float16 sum: 784 numbers of 100 have an infinite mean. Keras
3 takes means in float32 (``keras.ops.mean``), and sums in the dtype of the numbers. In bfloat16 only the means of TF
2.4 add in the dtype of the numbers; everything else adds in float32. Observed in TF 2.4.4 and 2.21.
"""

from __future__ import annotations

from engine import ops
from engine.conventions import TF24, Conventions
from engine.dtypes import BFLOAT16, FLOAT16
from engine.ops.half_rows import EIGEN_2020, EIGEN_2025, Kernel
from engine.ops.half_sums import half_sum
from engine.ops.reduce import Axes
from engine.tape import Tensor, constant


def summed(x: Tensor, line: Conventions, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Return the sum over the axes, all of them when omitted."""
    if x.dtype is not FLOAT16:
        return ops.reduce_sum(x, axis, keepdims=keepdims)
    return half_sum(x, kernel_of(line), axis, keepdims=keepdims)


def kernel_of(line: Conventions) -> Kernel:
    """Return how the TensorFlow of a line computes in 16 bits."""
    return EIGEN_2020 if line.name == TF24.name else EIGEN_2025


def averaged(x: Tensor, line: Conventions, axis: Axes = -1) -> Tensor:
    """Return the mean over an axis, or several."""
    narrow = x.dtype is FLOAT16 or (x.dtype is BFLOAT16 and line.name == TF24.name)
    if not narrow or line.keras3:
        return ops.mean(x, axis=axis)
    total = half_sum(x, kernel_of(line), axis)
    return ops.divide(total, constant(x.data.size // max(total.data.size, 1), x.dtype))
