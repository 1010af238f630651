"""Rarer activation functions: shrinkages, sparse ones and gates. Source: ``keras.src.backend.tensorflow.nn``."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.errors import ShapeMismatch
from engine.ops.activations import sigmoid, softplus, tanh
from engine.ops.elementwise import add, multiply, negative, scale, square, subtract
from engine.ops.powers import square_root
from engine.ops.shape import split
from engine.tape import Array, Op, Tensor, apply, constant, rounded

_THRESHOLD = 0.5


def _op(name: str, forward: Any, slope: Any) -> Op:
    """Return an op whose derivative is a function of the input."""

    def backward(dtype: DType, gradient: Array, x: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
        return (gradient * slope(x).astype(x.dtype),)

    return Op(name, lambda dtype, x: (forward(x, dtype), x), backward)


def _sparse_plus(x: Array, dtype: DType) -> Array:
    quarter = x.dtype.type(0.25) * rounded(np.square(rounded(x + x.dtype.type(1), dtype)), dtype)
    return np.where(x <= -1, x.dtype.type(0), np.where(x < 1, quarter, x))


def _soft(x: Array, dtype: DType) -> Array:
    by = x.dtype.type(_THRESHOLD)
    return np.where(x > by, x - by, np.where(x < -by, x + by, x.dtype.type(0)))


def _hard(x: Array, dtype: DType) -> Array:
    return np.where(np.abs(x) > _THRESHOLD, x, x.dtype.type(0))


SPARSE_PLUS = _op("sparse_plus", _sparse_plus, lambda x: np.where(x <= -1, 0, np.where(x < 1, 0.5 * (x + 1), 1)))
SPARSE_SIGMOID = _op(
    "sparse_sigmoid",
    lambda x, dtype: np.clip(x.dtype.type(0.5) * (x + x.dtype.type(1)), 0, 1).astype(x.dtype),
    lambda x: np.where((x > -1) & (x < 1), 0.5, 0),
)
SOFT_SHRINK = _op("soft_shrink", _soft, lambda x: np.abs(x) > _THRESHOLD)
HARD_SHRINK = _op("hard_shrink", _hard, lambda x: np.abs(x) > _THRESHOLD)


def _running(x: Array, dtype: DType) -> Array:
    """Return the running sums along the last axis, each addition rounded."""
    if not dtype.low_precision:
        return np.cumsum(x, axis=-1, dtype=x.dtype)
    sums = x.copy()
    for place in range(1, x.shape[-1]):
        sums[..., place] = rounded(sums[..., place - 1] + x[..., place], dtype)
    return sums


def _sparsemax_forward(dtype: DType, x: Array) -> tuple[Array, Any]:
    """Compute as Keras does, op by op; its threshold adds up the running sums instead of taking the last one."""
    order = np.argsort(-x, axis=-1, kind="stable")
    ordered = np.take_along_axis(x, order, axis=-1)
    sums = _running(ordered, dtype)
    counts = _running(np.ones_like(x[:1]), dtype)
    shares = rounded(rounded(sums - 1, dtype) / counts, dtype)
    support = rounded(ordered - shares, dtype) > 0
    size = rounded(support.sum(axis=-1, keepdims=True).astype(x.dtype), dtype)
    whole = rounded(np.where(support, sums, 0).sum(axis=-1, keepdims=True).astype(x.dtype), dtype)
    apart = rounded(x - rounded(rounded(whole - 1, dtype) / size, dtype), dtype)
    return np.maximum(apart, 0), (apart >= 0, order, support, size)


def _sparsemax_backward(
    dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    above, order, support, size = saved
    inside = np.where(above, gradient, gradient.dtype.type(0))
    share = rounded(rounded(-inside.sum(axis=-1, keepdims=True), dtype) / size, dtype)
    # A sorted entry stands in every running sum from its own on.
    uses = _running(np.where(support, share, 0).astype(gradient.dtype)[..., ::-1], dtype)[..., ::-1]
    back = np.zeros_like(inside)
    np.put_along_axis(back, order, uses, axis=-1)
    return (inside + back,)


SPARSEMAX = Op("sparsemax", _sparsemax_forward, _sparsemax_backward)


def sparse_plus(x: Tensor) -> Tensor:
    """Return 0 up to -1, ``(x + 1)**2 / 4`` up to 1, then x."""
    return apply(SPARSE_PLUS, x)


def sparse_sigmoid(x: Tensor) -> Tensor:
    """Return ``(x + 1) / 2`` between 0 and 1."""
    return apply(SPARSE_SIGMOID, x)


def squareplus(x: Tensor) -> Tensor:
    """Return ``(x + sqrt(x**2 + 4)) / 2``, op by op: in float16 the square overflows from 256 on."""
    root = square_root(add(square(x), constant(4, x.dtype)))
    return scale(add(x, root), 0.5)


def mish(x: Tensor) -> Tensor:
    """Return ``x * tanh(softplus(x))``."""
    return multiply(x, tanh(softplus(x)))


def soft_shrink(x: Tensor) -> Tensor:
    """Return x moved towards 0 by one half."""
    return apply(SOFT_SHRINK, x)


def hard_shrink(x: Tensor) -> Tensor:
    """Return x where it is further than one half from 0, else 0."""
    return apply(HARD_SHRINK, x)


def tanh_shrink(x: Tensor) -> Tensor:
    """Return ``x - tanh(x)``."""
    return subtract(x, tanh(x))


def log_sigmoid(x: Tensor) -> Tensor:
    """Return the logarithm of the sigmoid, without overflow."""
    return negative(softplus(negative(x)))


def glu(x: Tensor) -> Tensor:
    """Return the first half of the last axis times the sigmoid of the second.

    Raises:
        ShapeMismatch: the axis cannot be halved.
    """
    if x.shape[-1] % 2:
        raise ShapeMismatch(f"glu halves the last axis, which must be even, got shape {list(x.shape)}.")
    first, second = split(x, 2, axis=-1)
    return multiply(first, sigmoid(second))


def sparsemax(x: Tensor) -> Tensor:
    """Return what Keras calls sparsemax of the last axis (Martins 2016).

    Raises:
        ShapeMismatch: Keras counts the numbers in their dtype, which cannot count so many.
    """
    length = x.shape[-1]
    last = rounded(np.array([length + 1], x.dtype.storage), x.dtype)
    if rounded(last - 1, x.dtype)[0] != length:
        raise ShapeMismatch(
            f"sparsemax over {length} numbers cannot run in {x.dtype.name}: Keras counts them in that dtype, where "
            f"{length} is not exact, and TensorFlow refuses the result. Give the layer the dtype float32."
        )
    return apply(SPARSEMAX, x)
