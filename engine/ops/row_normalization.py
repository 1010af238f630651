"""Normalization within rows: in float32 with one rounding, or as the several ops of a narrow dtype that it is.

Each function is one arithmetic of the original; the layers choose, by the line of Keras and their settings.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import FLOAT16, FLOAT32, DType
from engine.ops.elementwise import (
    add,
    cast,
    divide,
    maximum,
    minimum,
    multiply,
    negative,
    square,
    subtract,
    unbroadcast,
)
from engine.ops.narrow_sums import narrow_mean, narrow_sum
from engine.ops.powers import reciprocal_root
from engine.ops.sums import average
from engine.tape import Array, Op, Tensor, apply, constant


def _layer_forward(
    dtype: DType,
    x: Array,
    gamma: Array,
    beta: Array,
    axes: tuple[int, ...],
    epsilon: float,
    centred: bool,
    folded: bool,
) -> tuple[Array, Any]:
    middle = average(x, axes) if centred else None
    own = x if middle is None else x - middle
    spare = np.square(own)
    inverse = np.reciprocal(np.sqrt(average(spare, axes) + x.dtype.type(epsilon)))
    normalized = np.multiply(own, inverse, out=own if centred else None)
    if middle is not None and folded:
        factor = inverse * gamma
        y = x * factor + (beta - middle * factor)
    else:
        y = np.multiply(normalized, gamma, out=spare)
        y += beta
    return y, (normalized, inverse, gamma, beta.shape, axes, centred)


def _layer_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    normalized, inverse, gamma, beta_shape, axes, centred = saved
    by_gamma = unbroadcast(gradient * normalized, gamma.shape, FLOAT32) if needed[1] else None
    by_beta = unbroadcast(gradient, beta_shape, FLOAT32) if needed[2] else None
    if not needed[0]:
        return None, by_gamma, by_beta
    inner = gradient * gamma
    by_x = inner * normalized
    np.multiply(normalized, average(by_x, axes), out=by_x)
    np.subtract(inner, by_x, out=by_x)
    if centred:
        by_x -= average(inner, axes)
    by_x *= inverse
    return by_x, by_gamma, by_beta


LAYER_NORM = Op("layer_norm", _layer_forward, _layer_backward)


def layer_normalization(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    axes: tuple[int, ...],
    epsilon: float,
    *,
    centred: bool = True,
    folded: bool = False,
) -> Tensor:
    """Normalize along axes, then scale and shift; all in float32 (or float64), one rounding at the end.

    Args:
        x: any shape and float dtype.
        gamma: scale, of a shape that broadcasts to x's.
        beta: offset, likewise.
        axes: along which mean and deviation are taken.
        epsilon: added to the variance.
        centred: False leaves the mean in (RMS normalization, Zhang 2019).
        folded: compute ``x * factor + (beta - mean * factor)``, which loses digits where the mean is large, as
            ``tf.nn.batch_normalization`` and Keras 3 do; else ``(x - mean) * factor + beta``, as the fused kernel.
    """
    return apply(LAYER_NORM, x, gamma, beta, axes=axes, epsilon=epsilon, centred=centred, folded=folded)


def moments(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return mean and variance along axes, which stay with length 1, on x's grid.

    Float16 is taken to float32 for it and back, bfloat16 is not. Source: ``tf.nn.moments``.

    Args:
        x: any shape and float dtype.
        axes: not negative.
    """
    wide = cast(x, FLOAT32) if x.dtype is FLOAT16 else x
    middle = narrow_mean(wide, axes, keepdims=True)
    spread = narrow_mean(square(subtract(wide, middle)), axes, keepdims=True)
    return cast(middle, x.dtype), cast(spread, x.dtype)


def weighted_moments(x: Tensor, axes: tuple[int, ...], weights: Array) -> tuple[Tensor, Tensor]:
    """Return mean and variance of numbers that count so and so often; as :func:`moments`, op by op.

    Source: ``tf.nn.weighted_moments``.

    Args:
        x: any shape and float dtype.
        axes: not negative.
        weights: of x's shape.
    """
    wide = cast(x, FLOAT32) if x.dtype is FLOAT16 else x
    often = constant(weights, wide.dtype)
    total = narrow_sum(often, axes, keepdims=True)
    middle = _divided(narrow_sum(multiply(often, wide), axes, keepdims=True), total)
    apart = square(subtract(wide, middle))
    spread = _divided(narrow_sum(multiply(often, apart), axes, keepdims=True), total)
    return cast(middle, x.dtype), cast(spread, x.dtype)


def _divided(total: Tensor, by: Tensor) -> Tensor:
    """Return ``total / by``, 0 where nothing counts (``tf.math.divide_no_nan``)."""
    some = by.data != 0
    return multiply(divide(total, constant(np.where(some, by.data, 1), by.dtype)), constant(some, by.dtype))


def normalize_by(
    x: Tensor, middle: Tensor, spread: Tensor, gamma: Tensor | None, beta: Tensor | None, epsilon: float
) -> Tensor:
    """Normalize with given statistics, op by op in x's dtype. Source: ``tf.nn.batch_normalization``.

    Args:
        x: any shape and float dtype.
        middle: mean, of a shape that broadcasts to x's, on its grid.
        spread: variance, likewise.
        gamma: scale, likewise, or None.
        beta: offset, likewise, or None.
        epsilon: added to the variance, rounded to the dtype first.
    """
    inverse = reciprocal_root(add(spread, constant(epsilon, x.dtype)))
    if gamma is not None:
        inverse = multiply(inverse, gamma)
    shift = multiply(middle, inverse)
    return add(multiply(x, inverse), negative(shift) if beta is None else subtract(beta, shift))


def unit_normalization(
    x: Tensor, axes: tuple[int, ...], *, largest_inverse: float | None = 1e12, lanes: int = 1
) -> Tensor:
    """Return x divided by its Euclidean norm along axes, op by op: square, sum, reciprocal root, product.

    Args:
        x: any shape and float dtype.
        axes: along which the squares are summed.
        largest_inverse: of the norm (``keras.ops.normalize``); None to keep the sum of squares at 1e-12 at least
            (``tf.math.l2_normalize``). Either limit is rounded to the dtype first; in float16 it is infinity, or 0.
        lanes: see :func:`~engine.ops.narrow_sums.narrow_sum`.
    """
    total = narrow_sum(square(x), tuple(axis % x.ndim for axis in axes), lanes, keepdims=True)
    if largest_inverse is None:
        return multiply(x, reciprocal_root(maximum(total, constant(1e-12, x.dtype))))
    return multiply(x, minimum(reciprocal_root(total), constant(largest_inverse, x.dtype)))
