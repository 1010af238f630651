"""Sums and means: accumulated in float32 (or float64), rounded once."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.ops.activations import exponential
from engine.ops.elementwise import add, log, subtract
from engine.tape import Array, Op, Tensor, apply

Axes = int | tuple[int, ...] | None


def _sum_forward(dtype: DType, x: Array, axis: Axes, keepdims: bool) -> tuple[Array, Any]:
    return np.asarray(x.sum(axis=axis, keepdims=keepdims)), (x.shape, axis, keepdims)


def _sum_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    shape, axis, keepdims = saved
    if axis is None:
        return (np.full(shape, gradient, gradient.dtype),)  # a third of what broadcasting costs
    if not keepdims:
        gradient = np.expand_dims(gradient, axis)
    return (np.broadcast_to(gradient, shape),)


SUM = Op("sum", _sum_forward, _sum_backward, gradient_on_grid=True)


def _mean_forward(dtype: DType, x: Array, axis: Axes) -> tuple[Array, Any]:
    total = np.asarray(x.mean(axis=axis))
    return total, (x.shape, axis, x.size // max(total.size, 1))


def _mean_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    shape, axis, count = saved
    if axis is not None:
        gradient = np.expand_dims(gradient, axis)
    return (np.broadcast_to(gradient / gradient.dtype.type(count), shape).copy(),)


MEAN = Op("mean", _mean_forward, _mean_backward)


def _max_forward(dtype: DType, x: Array, axis: Axes) -> tuple[Array, Any]:
    largest = np.asarray(x.max(axis=axis))
    return largest, (x == np.expand_dims(largest, axis if axis is not None else tuple(range(x.ndim))), axis)


def _max_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    ties, axis = saved
    share = gradient / ties.sum(axis=axis, dtype=gradient.dtype)
    return (ties * np.expand_dims(share, axis if axis is not None else tuple(range(ties.ndim))),)


MAX = Op("max", _max_forward, _max_backward, on_grid=True)


def reduce_max(x: Tensor, axis: Axes = None) -> Tensor:
    """Return the largest value over the axes; ties share the gradient evenly (as TensorFlow has it)."""
    return apply(MAX, x, axis=axis)


def reduce_sum(x: Tensor, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
    """Return the sum over the axes; over all of them, shape (), when omitted."""
    return apply(SUM, x, axis=axis, keepdims=keepdims)


def mean(x: Tensor, axis: Axes = None) -> Tensor:
    """Return the mean over the axes; over all of them, shape (), when omitted."""
    return apply(MEAN, x, axis=axis)


def logsumexp(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return ``log(sum(exp(x)))`` over the axes, which stay with length 1.

    Op by op from the maximum down, which gets no gradient, as ``tf.reduce_logsumexp`` computes it.
    """
    largest = x.data.max(axis=axes, keepdims=True)
    top = Tensor(np.where(np.isfinite(largest), largest, 0).astype(x.data.dtype), x.dtype)
    return add(log(reduce_sum(exponential(subtract(x, top)), axes, keepdims=True)), top)
