"""Matrix products and bias: sums inside run in float32 (or float64), the result is rounded once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.dtypes import BFLOAT16, DType
from engine.ops.elementwise import unbroadcast
from engine.ops.narrow_products import is_short, narrow_product
from engine.tape import Array, Op, Tensor, apply, rounded

LARGE = 65536
"""Elements from which on it matters how a kernel lies in memory (measured)."""


def _matmul_forward(dtype: DType, x: Array, kernel: Array) -> tuple[Array, Any]:
    # As one product: of three axes numpy makes many small ones, at three quarters of the speed.
    product = as_rows(x) @ kernel
    return product.reshape(*x.shape[:-1], kernel.shape[1]), (x, kernel)


def _matmul_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    left, right = saved
    rows = as_rows(gradient)
    return (
        _by_transpose(rows, right).reshape(left.shape) if needed[0] else None,
        as_rows(left).T @ rows if needed[1] else None,
    )


def _narrow_forward(dtype: DType, x: Array, kernel: Array) -> tuple[Array, Any]:
    product = narrow_product(as_rows(x), kernel, dtype, fused=False)
    return product.reshape(*x.shape[:-1], kernel.shape[1]), (x, kernel)


def _narrow_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    left, right = saved
    rows = as_rows(gradient)
    return (
        narrow_product(rows, right.T, dtype, fused=False).reshape(left.shape) if needed[0] else None,
        narrow_product(as_rows(left).T, rows, dtype, fused=False) if needed[1] else None,
    )


def _each_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    left, right = saved
    by_left, by_kernel = _matmul_backward(dtype, gradient, saved, (needed[0], needed[1] and not dtype.low_precision))
    if needed[1] and dtype.low_precision:
        products = rounded(left.swapaxes(-1, -2) @ gradient, dtype)
        by_kernel = unbroadcast(products, right.shape, dtype)
    return by_left, by_kernel


def _steps_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    left, _ = saved
    apart = dtype.low_precision and needed[1]
    by_left, by_kernel = _matmul_backward(dtype, gradient, saved, (needed[0], needed[1] and not apart))
    if apart:
        products = rounded(left.transpose(1, 2, 0) @ gradient.swapaxes(0, 1), dtype)
        by_kernel = products.sum(axis=0)
    return by_left, by_kernel


def as_rows(x: Array) -> Array:
    """Return (..., n) as a matrix of n columns."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _by_transpose(rows: Array, kernel: Array) -> Array:
    """Return ``rows @ kernel.T``, in C order."""
    if kernel.size >= LARGE and 4 * len(rows) <= len(kernel):
        # BLAS wants the larger of the two as it lies in memory: 1.4 times as fast, to turn the result included.
        return np.ascontiguousarray((kernel @ rows.T).T)
    return rows @ kernel.T


def _bias_forward(dtype: DType, x: Array, bias: Array) -> tuple[Array, Any]:
    # The product under the bias is read by nobody else, so its memory is reused.
    return np.add(x, bias, out=x), None


def _bias_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    return gradient, bias_gradient(gradient, dtype) if needed[1] else None


def bias_gradient(gradient: Array, dtype: DType) -> Array:
    """Return the sum over all axes but the last: in bfloat16 one by one, each rounded, as TensorFlow's BiasAddGrad."""
    rows = as_rows(gradient)
    if dtype is not BFLOAT16 or not is_short(*rows.shape):
        return np.asarray(rows.sum(axis=0))
    found = np.zeros_like(rows[0])
    for row in rows:
        found = rounded(found + row, dtype)
    return found


MATMUL = Op("matmul", _matmul_forward, _matmul_backward)
NARROW_MATMUL = Op("matmul", _narrow_forward, _narrow_backward)
MATMUL_EACH = Op("matmul", _matmul_forward, _each_backward)
MATMUL_STEPS = Op("matmul", _matmul_forward, _steps_backward)
BIAS_ADD = Op("bias_add", _bias_forward, _bias_backward)


def matmul(x: Tensor, kernel: Tensor, *, narrow: bool = False) -> Tensor:
    """Return ``x @ kernel``.

    Args:
        x: shape (..., n), any number of leading axes.
        kernel: shape (n, m), of the same dtype.
        narrow: ``conventions.narrow_matmul``.

    Returns:
        Shape (..., m).
    """
    return apply(NARROW_MATMUL if narrow else MATMUL, x, kernel)


def matmul_each(x: Tensor, kernel: Tensor) -> Tensor:
    """Return ``x @ kernel`` as a batch of products: the gradient of the kernel is rounded for each, then summed.

    Args:
        x: shape (batch, m, n).
        kernel: shape (n, k), of the same dtype.

    Returns:
        Shape (batch, m, k).
    """
    return apply(MATMUL_EACH, x, kernel)


def matmul_steps(x: Tensor, kernel: Tensor) -> Tensor:
    """Return ``x @ kernel`` as a loop over steps takes it: the gradient of the kernel is rounded for each step.

    Args:
        x: shape (batch, steps, n).
        kernel: shape (n, k), of the same dtype.

    Returns:
        Shape (batch, steps, k).
    """
    return apply(MATMUL_STEPS, x, kernel)


def bias_add(x: Tensor, bias: Tensor) -> Tensor:
    """Return ``x + bias`` along the last axis, **writing into the memory of x**, which must be an unshared product."""
    return apply(BIAS_ADD, x, bias)
