"""Pooling over windows of images.

Means are taken as TensorFlow's CPU kernels take them, which keep sum and count in the dtype of the image: a float16 sum
that passes 65504 is infinite, and neither sum nor count of ones gets beyond 2048 (256 in bfloat16). Observed in
TF 2.4.4 and 2.21, bit by bit; GPUs add in float32.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from engine.dtypes import FLOAT32, DType
from engine.ops.windows import Pair, Windows, windows
from engine.tape import Array, Op, Tensor, apply, rounded


def _apart(at: Windows) -> bool:
    """Return whether no number lies in two windows."""
    return at.strides[0] >= at.kernel[0] and at.strides[1] >= at.kernel[1]


def _max_forward(dtype: DType, x: Array, at: Windows) -> tuple[Array, Any]:
    padded = at.pad(x, -np.inf)
    seen = [padded[:, rows, columns] for _, (rows, columns) in at.taps()]
    best = seen[0].copy()
    for other in seen[1:]:
        np.maximum(best, other, out=best)
    return best, (padded, best, at)


def _max_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    padded, best, at = saved
    apart = _apart(at)
    covered = apart and at.padded == (at.out[0] * at.kernel[0], at.out[1] * at.kernel[1])
    image = np.empty_like(padded) if covered else np.zeros_like(padded)
    free = np.ones(best.shape, np.bool_)  # where no tap has taken the gradient yet: the first of ties takes it all
    for _, (rows, columns) in at.taps():
        took = padded[:, rows, columns] == best
        took &= free
        free ^= took
        if apart:
            np.multiply(gradient, took, out=image[:, rows, columns])
        else:
            image[:, rows, columns] += gradient * took
    return (at.crop(image),)


def _counts(at: Windows, storage: np.dtype[Any], dtype: DType) -> Array:
    """Return how many taps lie within the image at each place, counted in the dtype: padding is not counted."""
    inside = at.pad(np.ones((1, *at.size, 1), storage))
    total = np.zeros((1, *at.out, 1), storage)
    for _, (rows, columns) in at.taps():
        total = rounded(total + inside[:, rows, columns], dtype)
    return total


def _average_forward(dtype: DType, x: Array, at: Windows) -> tuple[Array, Any]:
    padded = at.pad(x)
    total = np.zeros((x.shape[0], *at.out, x.shape[3]), x.dtype)
    for _, (rows, columns) in at.taps():
        total += padded[:, rows, columns]
        total = rounded(total, dtype)
    return total / _counts(at, x.dtype, dtype), at


def _average_backward(dtype: DType, gradient: Array, at: Windows, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    weights = rounded(np.reciprocal(_counts(at, gradient.dtype, FLOAT32)), dtype)
    share = rounded(gradient * weights, dtype)
    image = np.zeros((gradient.shape[0], *at.padded, gradient.shape[3]), gradient.dtype)
    apart = _apart(at)
    for _, (rows, columns) in reversed(tuple(at.taps())):  # each number takes from its windows in their order
        image[:, rows, columns] += share
        if not apart:
            image[:, rows, columns] = rounded(np.ascontiguousarray(image[:, rows, columns]), dtype)
    return (at.crop(image),)


MAX_POOL = Op("max_pool", _max_forward, _max_backward, on_grid=True)
MAX_POOL_APART = replace(MAX_POOL, gradient_on_grid=True)
"""Of windows that do not overlap: no gradients are added."""
AVERAGE_POOL = Op("avg_pool", _average_forward, _average_backward, gradient_on_grid=True)


def max_pool(x: Tensor, size: Pair, strides: Pair, padding: str) -> Tensor:
    """Return the largest value in each window; its gradient goes to the first of ties.

    Args:
        x: (batch, height, width, channels).
        size: of the window.
        strides: of the window.
        padding: "valid" or "same".
    """
    at = windows((x.shape[1], x.shape[2]), size, strides, (1, 1), padding)
    return apply(MAX_POOL_APART if _apart(at) else MAX_POOL, x, at=at)


def average_pool(x: Tensor, size: Pair, strides: Pair, padding: str) -> Tensor:
    """Return the mean of each window, padding not counted; arguments as for :func:`max_pool`."""
    return apply(AVERAGE_POOL, x, at=windows((x.shape[1], x.shape[2]), size, strides, (1, 1), padding))
