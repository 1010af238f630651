"""Batch normalization: statistics and arithmetic in float32 (or float64), one rounding at the output.

TensorFlow's fused kernel and Keras 3 both keep scale, offset and statistics in float32 under a mixed policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.ops.sums import column_sums
from engine.tape import Array, Op, Tensor, apply


@dataclass(frozen=True, slots=True)
class Features:
    """Where the features are.

    Attributes:
        axis: not negative.
        lanes: see :func:`~engine.ops.sums.column_sums`.
    """

    axis: int
    lanes: int

    def column(self, vector: Array, ndim: int) -> Array:
        """Return numbers of the features in a shape that broadcasts to what has them."""
        shape = [1] * ndim
        shape[self.axis] = vector.size
        return vector.reshape(shape)

    def sums(self, x: Array) -> Array:
        """Return the sum of each feature."""
        if self.axis == x.ndim - 1:
            return column_sums(x, self.lanes)
        return np.asarray(x.sum(axis=tuple(index for index in range(x.ndim) if index != self.axis)))


def _batch_forward(
    dtype: DType, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, at: Features, epsilon: float
) -> tuple[Array, Any]:
    # As tf.nn.batch_normalization orders it: another order gives other last bits, and so other roundings below.
    inverse = np.reciprocal(np.sqrt(variance + variance.dtype.type(epsilon)))
    scale = inverse * gamma
    y = x * at.column(scale, x.ndim) + at.column(beta - mean * scale, x.ndim)
    normalized = (x - at.column(mean, x.ndim)) * at.column(inverse, x.ndim)
    return y, (normalized, gamma, inverse, at)


def _batch_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    normalized, gamma, inverse, at = saved
    by_gamma, by_beta = at.sums(gradient * normalized), at.sums(gradient)
    count = gradient.dtype.type(gradient.size // by_beta.size)
    ndim = gradient.ndim
    centred = gradient - at.column(by_beta, ndim) / count - normalized * (at.column(by_gamma, ndim) / count)
    return centred * at.column(gamma * inverse, ndim), by_gamma, by_beta, None, None


def _fixed_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    normalized, gamma, inverse, at = saved
    by_gamma, by_beta = at.sums(gradient * normalized), at.sums(gradient)
    return gradient * at.column(gamma * inverse, gradient.ndim), by_gamma, by_beta, None, None


BATCH_NORMALIZATION = Op("fused_batch_norm", _batch_forward, _batch_backward)
NORMALIZE_WITH = Op("fused_batch_norm_inference", _batch_forward, _fixed_backward)


def batch_normalization(
    x: Tensor, gamma: Tensor, beta: Tensor, at: Features, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize with the statistics of the batch.

    Args:
        x: any shape and float dtype.
        gamma: scale of shape (features,), float32 or float64.
        beta: offset, likewise.
        at: the features of x.
        epsilon: added to the variance.

    Returns:
        Output of x's shape and dtype, mean, population variance (both as constants in gamma's dtype).
    """
    wide = x.data.astype(gamma.data.dtype, copy=False)
    count = wide.dtype.type(wide.size // wide.shape[at.axis])
    middle = at.sums(wide) / count
    mean = Tensor(middle, gamma.dtype)
    apart = np.square(wide - at.column(middle, x.ndim))
    variance = Tensor(at.sums(apart) / count, gamma.dtype)
    y = apply(BATCH_NORMALIZATION, x, gamma, beta, mean, variance, at=at, epsilon=epsilon)
    return y, mean, variance


def normalize_with(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, variance: Tensor, at: Features, epsilon: float
) -> Tensor:
    """Normalize with given statistics (inference), which get no gradient."""
    return apply(NORMALIZE_WITH, x, gamma, beta, mean, variance, at=at, epsilon=epsilon)
