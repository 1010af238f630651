"""Parts of losses in 16 bits to the bit as TensorFlow's CPU kernels compute them: every step rounds.

In wide dtypes nothing rounds, and each is what its name says. Found by comparing bits with TF 2.4.4 and TF 2.21.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import FLOAT16, DType
from engine.ops.half_rows import EIGEN_2025, LANES, Kernel, row_sums
from engine.ops.half_sums import sums
from engine.tape import Array, Op, Tensor, apply, rounded

_EIGEN_EPSILON_OF_HALF = 2.0**-13
"""What Eigen takes for the epsilon of float16, which is 2 ** -10."""


def _softplus_forward(dtype: DType, x: Array, kernel: Kernel) -> tuple[Array, Any]:
    epsilon = _EIGEN_EPSILON_OF_HALF if dtype is FLOAT16 else dtype.epsilon
    limit = rounded(rounded(np.array(np.log(epsilon), x.dtype), dtype) + x.dtype.type(2), dtype)
    powers = rounded(np.exp(x), dtype)
    near = rounded(np.log1p(powers), dtype)
    return np.where(x > -limit, x, np.where(x < limit, powers, near)), (x, kernel)


def _softplus_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    x, kernel = saved
    one = x.dtype.type(1)
    if kernel.inverse_steps:
        slope = rounded(np.reciprocal(rounded(rounded(np.exp(-x), dtype) + one, dtype)), dtype)
    else:
        powers = rounded(np.exp(x), dtype)
        slope = np.where(np.isinf(powers), one, rounded(powers / rounded(powers + one, dtype), dtype))
    return (gradient * slope,)


SOFTPLUS_STEPS = Op("softplus", _softplus_forward, _softplus_backward)


def _sigmoid_forward(dtype: DType, logits: Array, labels: Array) -> tuple[Array, Any]:
    powers = rounded(np.exp(-np.abs(logits)), dtype)
    linear = rounded(np.maximum(logits, 0) - rounded(logits * labels, dtype), dtype)
    return linear + rounded(np.log1p(powers), dtype), (logits, labels, powers)


def _sigmoid_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    logits, labels, powers = saved
    kind = logits.dtype.type
    share = rounded(np.reciprocal(rounded(powers + kind(1), dtype)), dtype)
    fading = rounded(rounded(gradient * share, dtype) * powers, dtype)
    right = logits >= 0
    linear = rounded(np.where(right, gradient, kind(0)) - rounded(gradient * labels, dtype), dtype)
    return (linear + np.where(right, -fading, fading),)


SIGMOID_CROSSENTROPY_STEPS = Op("sigmoid_cross_entropy_with_logits", _sigmoid_forward, _sigmoid_backward)


def _sparse_forward(dtype: DType, logits: Array, labels: Array) -> tuple[Array, Any]:
    shifted = rounded(logits - logits.max(axis=-1, keepdims=True), dtype).reshape(-1, logits.shape[-1])
    powers = rounded(np.exp(shifted), dtype)
    totals = row_sums(powers, EIGEN_2025, dtype)
    chosen = (np.arange(len(shifted)), labels.reshape(-1))
    slope = rounded(powers / totals[:, np.newaxis], dtype)
    slope[chosen] = rounded(slope[chosen] - slope.dtype.type(1), dtype)
    losses = rounded(np.log(totals), dtype) - shifted[chosen]
    return losses.reshape(labels.shape), slope.reshape(logits.shape)


def _per_row_backward(
    dtype: DType, gradient: Array, slope: Array, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    return (gradient[..., np.newaxis] * slope,)


SPARSE_SOFTMAX_CROSSENTROPY_STEPS = Op("sparse_softmax_cross_entropy_with_logits", _sparse_forward, _per_row_backward)


def _normalized_forward(dtype: DType, x: Array, axis: int, floor: Any, kernel: Kernel) -> tuple[Array, Any]:
    squares = _sums(rounded(x * x, dtype), axis, kernel, dtype)
    inverse = _inverse_root(np.maximum(squares, floor), kernel, dtype)
    return x * inverse, (x, inverse, squares >= floor, axis, kernel)


def _normalized_backward(
    dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    x, inverse, above, axis, kernel = saved
    total = _sums(rounded(gradient * x, dtype), axis, kernel, dtype)
    left = rounded(total * inverse, dtype) * x.dtype.type(-0.5)
    slope = np.where(total == 0, total, rounded(left * rounded(inverse * inverse, dtype), dtype))
    by_squares = rounded(np.where(above, slope, x.dtype.type(0)) * rounded(x + x, dtype), dtype)
    return (rounded(gradient * inverse, dtype) + by_squares,)


def _inverse_root(x: Array, kernel: Kernel, dtype: DType) -> Array:
    """Return ``1 / sqrt(x)``; numbers that fill no packet are computed one by one, which rounds the root too."""
    root = np.sqrt(x)
    flat = root.reshape(-1)
    alone = 0 if kernel.inverse_steps else flat.size // LANES * LANES
    rounded(flat[alone:], dtype)
    return rounded(np.reciprocal(root), dtype)


def _sums(x: Array, axis: int, kernel: Kernel, dtype: DType) -> Array:
    if dtype is not FLOAT16:
        return rounded(x.sum(axis=axis, keepdims=True), dtype)
    return sums(dtype, x, axis, True, kernel)[0]


L2_NORMALIZE = Op("l2_normalize", _normalized_forward, _normalized_backward)


def _half_squares_forward(dtype: DType, x: Array) -> tuple[Array, Any]:
    halves = rounded(rounded(x * x, dtype) * x.dtype.type(0.5), dtype)
    if dtype is FLOAT16:
        return row_sums(halves.reshape(1, -1), EIGEN_2025, dtype)[0], x
    return halves.sum(), x


HALF_OF_SQUARES = Op("l2_loss", _half_squares_forward, lambda dtype, gradient, x, needed: (gradient * x,))


def half_of_squares(x: Tensor) -> Tensor:
    """Return ``sum(x ** 2) / 2`` (``tf.nn.l2_loss``), shape ()."""
    return apply(HALF_OF_SQUARES, x)


def softplus_steps(x: Tensor, kernel: Kernel) -> Tensor:
    """Return ``log(1 + exp(x))`` of 16-bit numbers."""
    return apply(SOFTPLUS_STEPS, x, kernel=kernel)


def l2_normalized(x: Tensor, axis: int, floor: float, kernel: Kernel) -> Tensor:
    """Return ``x / sqrt(max(sum(x ** 2), floor))`` over an axis.

    Args:
        x: any float dtype.
        axis: of the vectors.
        floor: on the grid of the dtype.
        kernel: that adds float16 numbers; others are added in float32.
    """
    return apply(L2_NORMALIZE, x, axis=axis, floor=x.data.dtype.type(floor), kernel=kernel)
