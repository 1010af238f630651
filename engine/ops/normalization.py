"""Batch normalization: statistics and arithmetic in float32 (or float64), one rounding at the output.

TensorFlow's fused kernel and Keras 3 both keep scale, offset and statistics in float32 under a mixed policy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.tape import Array, Op, Tensor, apply


def _column(vector: Array, axis: int, ndim: int) -> Array:
    shape = [1] * ndim
    shape[axis] = vector.size
    return vector.reshape(shape)


def _others(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(index for index in range(ndim) if index != axis)


def _batch_forward(
    dtype: DType, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, axis: int, epsilon: float
) -> tuple[Array, Any]:
    # As tf.nn.batch_normalization orders it: another order gives other last bits, and so other roundings below.
    inverse = np.reciprocal(np.sqrt(variance + variance.dtype.type(epsilon)))
    scale = inverse * gamma
    y = x * _column(scale, axis, x.ndim) + _column(beta - mean * scale, axis, x.ndim)
    normalized = (x - _column(mean, axis, x.ndim)) * _column(inverse, axis, x.ndim)
    return y, (normalized, gamma, inverse, axis)


def _of_parameters(gradient: Array, normalized: Array, axis: int) -> tuple[Array, Array]:
    others = _others(axis, gradient.ndim)
    return (gradient * normalized).sum(axis=others), gradient.sum(axis=others)


def _batch_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    normalized, gamma, inverse, axis = saved
    by_gamma, by_beta = _of_parameters(gradient, normalized, axis)
    count = gradient.size // by_beta.size
    ndim = gradient.ndim
    centred = (
        gradient
        - _column(by_beta, axis, ndim) / gradient.dtype.type(count)
        - normalized * (_column(by_gamma, axis, ndim) / gradient.dtype.type(count))
    )
    return centred * _column(gamma * inverse, axis, ndim), by_gamma, by_beta, None, None


def _fixed_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    normalized, gamma, inverse, axis = saved
    by_gamma, by_beta = _of_parameters(gradient, normalized, axis)
    return gradient * _column(gamma * inverse, axis, gradient.ndim), by_gamma, by_beta, None, None


BATCH_NORMALIZATION = Op("fused_batch_norm", _batch_forward, _batch_backward)
NORMALIZE_WITH = Op("fused_batch_norm_inference", _batch_forward, _fixed_backward)


def batch_normalization(
    x: Tensor, gamma: Tensor, beta: Tensor, axis: int, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize with the statistics of the batch.

    Args:
        x: any shape and float dtype.
        gamma: scale of shape (x.shape[axis],), float32 or float64.
        beta: offset, likewise.
        axis: the features axis, not negative.
        epsilon: added to the variance.

    Returns:
        Output of x's shape and dtype, mean, population variance (both as constants in gamma's dtype).
    """
    wide = x.data.astype(gamma.data.dtype, copy=False)
    others = _others(axis, x.ndim)
    mean = Tensor(np.asarray(wide.mean(axis=others)), gamma.dtype)
    variance = Tensor(np.asarray(wide.var(axis=others)), gamma.dtype)
    y = apply(BATCH_NORMALIZATION, x, gamma, beta, mean, variance, axis=axis, epsilon=epsilon)
    return y, mean, variance


def normalize_with(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, axis: int, epsilon: float
) -> Tensor:
    """Normalize with given statistics (inference), which get no gradient."""
    return apply(NORMALIZE_WITH, x, gamma, beta, mean, variance, axis=axis, epsilon=epsilon)
