"""Sums and means in float16 as TensorFlow's CPU kernels take them, with a rounding after every addition.

Along outer axes numbers are added one after the other, so that a sum that passes 65504 on its way stays infinite, and
one that has reached 2048 takes no more ones. TF 2.21 keeps four partial sums where eight channels fill a vector.
Along the last axes numbers are added as a tree whose shape depends on the processor: there the sum is computed in
float32 and rounded once, as everywhere else. Observed in TF 2.4.4 and 2.21, bit by bit; GPUs add in float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.dtypes import FLOAT16, DType
from engine.ops.half_columns import VECTOR, outer_sum
from engine.ops.reduce import Axes
from engine.tape import Array, Op, Tensor, apply, rounded


def _total(x: Array, axes: tuple[int, ...], dtype: DType, lanes: int) -> Array:
    """Return the sum over axes (in order, not negative), which are left out."""
    inward = axes[-1] == x.ndim - 1
    short = math.prod(x.shape[axis] for axis in axes) < VECTOR
    if dtype is not FLOAT16 or (inward and not short):
        return np.asarray(x.sum(axis=axes))
    return outer_sum(x, axes, lanes)


def _sum_forward(
    dtype: DType, x: Array, axes: tuple[int, ...], lanes: int, share: bool, keepdims: bool
) -> tuple[Array, Any]:
    total = _total(x, axes, dtype, lanes)
    count = x.dtype.type(math.prod(x.shape[axis] for axis in axes))
    if share and dtype is FLOAT16:
        total, count = rounded(total, dtype), rounded(np.array([count]), dtype)[0]  # the kernel counts in float16 too
    found = total / count if share else total
    return np.expand_dims(found, axes) if keepdims else found, (x.shape, axes, count if share else None, keepdims)


def _sum_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    shape, axes, count, keepdims = saved
    own = gradient if count is None else gradient / count
    return (np.broadcast_to(own if keepdims else np.expand_dims(own, axes), shape).copy(),)


NARROW_SUM = Op("sum", _sum_forward, _sum_backward, rounds_inside=True)


def narrow_sum(x: Tensor, axes: Axes, lanes: int = 1, *, keepdims: bool = False) -> Tensor:
    """Return the sum over axes.

    Args:
        x: any float dtype; only float16 is added otherwise than by :func:`~engine.ops.reduce.reduce_sum`.
        axes: one or several, not negative.
        lanes: partial sums for each number of a vector: ``conventions.sum_lanes``.
        keepdims: the axes stay, with length 1.
    """
    return apply(NARROW_SUM, x, axes=_ordered(axes), lanes=lanes, share=False, keepdims=keepdims)


def narrow_mean(x: Tensor, axes: Axes, lanes: int = 1, *, keepdims: bool = False) -> Tensor:
    """Return the mean over axes: in float16 the rounded sum divided by the rounded count; arguments as for the sum."""
    return apply(NARROW_SUM, x, axes=_ordered(axes), lanes=lanes, share=True, keepdims=keepdims)


def _ordered(axes: Axes) -> tuple[int, ...]:
    return tuple(sorted(axes)) if isinstance(axes, tuple) else (axes or 0,)
