"""Matrix products and bias: sums inside run in float32 (or float64), the result is rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.tape import Array, Op, Tensor, apply


def _matmul_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    left, right = saved
    by_left = gradient @ right.T if needed[0] else None
    if not needed[1]:
        return by_left, None
    rows = left.reshape(-1, left.shape[-1])
    return by_left, rows.T @ gradient.reshape(-1, gradient.shape[-1])


def _bias_forward(dtype: DType, x: Array, bias: Array) -> tuple[Array, Any]:
    # The product under the bias is read by nobody else, so its memory is reused.
    return np.add(x, bias, out=x), None


def _bias_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    by_bias = gradient.reshape(-1, gradient.shape[-1]).sum(axis=0) if needed[1] else None
    return gradient, by_bias


MATMUL = Op("matmul", lambda dtype, x, kernel: (x @ kernel, (x, kernel)), _matmul_backward)
BIAS_ADD = Op("bias_add", _bias_forward, _bias_backward)


def matmul(x: Tensor, kernel: Tensor) -> Tensor:
    """Return ``x @ kernel``.

    Args:
        x: shape (..., n), any number of leading axes.
        kernel: shape (n, m), of the same dtype.

    Returns:
        Shape (..., m).
    """
    return apply(MATMUL, x, kernel)


def bias_add(x: Tensor, bias: Tensor) -> Tensor:
    """Return ``x + bias`` along the last axis, **writing into the memory of x**, which must be an unshared product."""
    return apply(BIAS_ADD, x, bias)
