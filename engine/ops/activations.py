"""Activation functions: what each computes, and its derivative as TensorFlow defines it at the corners."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from engine.dtypes import FLOAT16, DType
from engine.ops.half_rows import EIGEN_2025, row_sums
from engine.ops.sums import total
from engine.tape import Array, Op, Tensor, apply, rounded

_HALF_EPSILON = 2**-13
"""What Eigen calls the epsilon of float16."""
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def _of_output(
    name: str,
    function: Callable[..., Array],
    derivative: Callable[[Array, Array], Array],
    *,
    on_grid: bool = False,
) -> Op:
    """Return an op whose derivative is a function of (gradient, output), so that only the output is kept."""

    def forward(dtype: DType, x: Array, **attributes: Any) -> tuple[Array, Any]:
        y = function(x, **attributes)
        return y, y

    def backward(dtype: DType, gradient: Array, y: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
        return (derivative(gradient, y),)

    return Op(name, forward, backward, on_grid=on_grid, gradient_on_grid=on_grid)


def _of_input(name: str, function: Callable[..., Array], derivative: Callable[..., Array]) -> Op:
    """Return an op whose derivative is a function of (gradient, input, **attributes)."""

    def forward(dtype: DType, x: Array, **attributes: Any) -> tuple[Array, Any]:
        return function(x, **attributes), (x, attributes)

    def backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
        x, attributes = saved
        return (derivative(gradient, x, **attributes),)

    return Op(name, forward, backward)


def _slope_of_sigmoid(dtype: DType, gradient: Array, y: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    return (gradient * rounded(y * rounded(1 - y, dtype), dtype),)


def _slope_of_tanh(dtype: DType, gradient: Array, y: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    # Near 1 the rounded square decides: TensorFlow's kernel rounds after every step.
    return (gradient * rounded(1 - rounded(y * y, dtype), dtype),)


def _logistic(x: Array) -> Array:
    return np.reciprocal(np.exp(-x) + x.dtype.type(1))


def gate(x: Array, dtype: DType) -> Array:
    """Return ``1 / (1 + exp(-x))`` on the grid of the dtype; a narrow one rounds its exponential first, as TF 2.21."""
    if not dtype.low_precision:
        return _logistic(x)
    exponential = rounded(np.exp(x), dtype)
    share = exponential / rounded(exponential + 1, dtype)
    return rounded(np.where(np.isinf(exponential), x.dtype.type(1), share), dtype)


def _twice(y: Array) -> tuple[Array, Array]:
    return y, y  # what is saved is rounded in place with the result


def _softplus(x: Array) -> Array:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


def _narrow_softplus(x: Array, dtype: DType) -> Array:
    """Return softplus; a narrow one rounds its exponential first, and is x or that far from 0, as TensorFlow's."""
    if not dtype.low_precision:
        return _softplus(x)
    epsilon = _HALF_EPSILON if dtype is FLOAT16 else dtype.epsilon
    far = rounded(np.array([math.log(epsilon)], x.dtype), dtype) + 2
    exponential = rounded(np.exp(x), dtype)
    return np.where(x > -far, x, np.where(x < far, exponential, np.log1p(exponential)))


def _slope_of_softplus(dtype: DType, gradient: Array, x: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    return (gradient * gate(x, dtype),)


def _slope_of_silu(dtype: DType, gradient: Array, x: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    y = gate(x, dtype)
    inner = rounded(1 + rounded(x * rounded(1 - y, dtype), dtype), dtype)
    return (gradient * rounded(y * inner, dtype),)


def _leaky(x: Array, slope: float) -> Array:
    return np.where(x > 0, x, x * x.dtype.type(np.float32(slope)))  # TensorFlow keeps the slope in float32


def _below(x: Array, dtype: DType) -> Array:
    """Return ``exp(x) - 1`` below 0, the exponential on the grid of the dtype first: TensorFlow's kernels round it."""
    return rounded(np.exp(np.minimum(x, 0)), dtype) - x.dtype.type(1)


def _elu_forward(dtype: DType, x: Array, alpha: float) -> tuple[Array, Any]:
    below = rounded(_below(x, dtype), dtype)
    return np.where(x > 0, x, x.dtype.type(alpha) * below), (x > 0, below, alpha)


def _elu_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    above, below, alpha = saved
    slope = rounded(below + 1, dtype)  # from the rounded output, as in TensorFlow's kernel
    return (np.where(above, gradient, slope * rounded(gradient * gradient.dtype.type(alpha), dtype)),)


def _selu_forward(dtype: DType, x: Array) -> tuple[Array, Any]:
    scale, far = rounded(np.array([_SELU_SCALE, _SELU_SCALE * _SELU_ALPHA], x.dtype), dtype)
    y = rounded(np.where(x > 0, scale * x, far * rounded(_below(x, dtype), dtype)), dtype)
    return y, y


def _selu_backward(dtype: DType, gradient: Array, y: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    scale, far = rounded(np.array([_SELU_SCALE, _SELU_SCALE * _SELU_ALPHA], y.dtype), dtype)
    return (gradient * np.where(y < 0, rounded(y + far, dtype), scale),)


def _softsign_backward(dtype: DType, gradient: Array, x: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    # The square overflows in float16 from 255 on, as in TensorFlow's kernel.
    return (gradient / rounded(np.square(rounded(1 + np.abs(x), dtype)), dtype),)


def _celu(x: Array, alpha: float) -> Array:
    kind = x.dtype.type
    return np.maximum(x, 0) + kind(alpha) * np.expm1(np.minimum(x, 0) / kind(alpha))


def _celu_slope(gradient: Array, x: Array, alpha: float) -> Array:
    # max(x, 0) and min(x, 0) both pass the gradient at 0, so there the slope is 2 (observed in Keras 3).
    above = (x >= 0).astype(x.dtype)
    below = np.where(x <= 0, np.exp(np.minimum(x, 0) / x.dtype.type(alpha)), 0)
    return gradient * (above + below)


def _hard_sigmoid(x: Array, slope: float) -> Array:
    return np.clip(x * x.dtype.type(slope) + x.dtype.type(0.5), 0, 1)


def _hard_sigmoid_slope(gradient: Array, x: Array, slope: float) -> Array:
    at = x * x.dtype.type(slope) + x.dtype.type(0.5)
    return np.where((at > 0) & (at < 1), gradient * x.dtype.type(slope), 0)


def _clamp(x: Array, low: float, high: float) -> Array:
    return np.clip(x, x.dtype.type(low), x.dtype.type(high))


def _hard_tanh_slope(gradient: Array, x: Array, low: float, high: float) -> Array:
    return np.where((x >= low) & (x <= high), gradient, 0)


def _relu6_slope(gradient: Array, y: Array) -> Array:
    return gradient * ((y > 0) & (y < 6))


def _general_relu(x: Array, max_value: float | None, slope: float, threshold: float) -> Array:
    kind = x.dtype.type
    kept = x * (x > kind(threshold)) if threshold else np.maximum(x, kind(0))
    if max_value is not None:
        kept = np.minimum(kept, kind(max_value))
    return kept - kind(slope) * np.maximum(kind(threshold) - x, kind(0)) if slope else kept


def _general_relu_slope(gradient: Array, x: Array, max_value: float | None, slope: float, threshold: float) -> Array:
    passes = x > x.dtype.type(threshold)
    if max_value is not None:
        passes &= x <= x.dtype.type(max_value)
    below = x < x.dtype.type(threshold) if threshold else x <= 0
    return np.where(passes, gradient, np.where(below, gradient * x.dtype.type(slope), 0))


GENERAL_RELU = _of_input("relu", _general_relu, _general_relu_slope)
RELU = _of_output(
    "relu", lambda x: np.maximum(x, x.dtype.type(0)), lambda gradient, y: gradient * (y > 0), on_grid=True
)
RELU6 = _of_output("relu6", lambda x: _clamp(x, 0, 6), _relu6_slope, on_grid=True)
SIGMOID = Op("sigmoid", lambda dtype, x: _twice(gate(x, dtype)), _slope_of_sigmoid)
TANH = Op("tanh", lambda dtype, x: _twice(np.tanh(x)), _slope_of_tanh)
EXPONENTIAL = _of_output("exp", np.exp, lambda gradient, y: gradient * y)
SOFTPLUS = Op("softplus", lambda dtype, x: (_narrow_softplus(x, dtype), x), _slope_of_softplus)
SOFTSIGN = Op("softsign", lambda dtype, x: (x / (1 + np.abs(x)), x), _softsign_backward)
SILU = Op("silu", lambda dtype, x: (x * gate(x, dtype), x), _slope_of_silu)
ELU = Op("elu", _elu_forward, _elu_backward)
SELU = Op("selu", _selu_forward, _selu_backward)
CELU = _of_input("celu", _celu, _celu_slope)
HARD_SIGMOID = _of_input("hard_sigmoid", _hard_sigmoid, _hard_sigmoid_slope)
HARD_TANH = _of_input("hard_tanh", _clamp, _hard_tanh_slope)
LEAKY_RELU = _of_input(
    "leaky_relu",
    _leaky,
    lambda gradient, x, slope: np.where(x > 0, gradient, gradient * x.dtype.type(np.float32(slope))),
)


def _softmax_forward(dtype: DType, x: Array, axis: int) -> tuple[Array, Any]:
    shifted = x - x.max(axis=axis, keepdims=True)
    if dtype is FLOAT16:
        y = _half_softmax(shifted, axis)
    else:
        exponentials = np.exp(shifted)
        y = rounded(exponentials / total(exponentials, axis), dtype)
    return y, (y, axis)


def _half_softmax(shifted: Array, axis: int) -> Array:
    """Return the softmax of float16 numbers: every step of TensorFlow's kernel rounds, each addition too."""
    exponentials = rounded(np.exp(rounded(shifted, FLOAT16)), FLOAT16)
    inverse = rounded(np.reciprocal(_half_total(exponentials, axis)), FLOAT16)
    return rounded(exponentials * inverse, FLOAT16)


def _half_total(x: Array, axis: int) -> Array:
    turned = x.swapaxes(axis, -1)
    sums = row_sums(np.ascontiguousarray(turned).reshape(-1, turned.shape[-1]), EIGEN_2025, FLOAT16)
    return sums.reshape(*turned.shape[:-1], 1).swapaxes(axis, -1)


def _softmax_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    # TensorFlow's gradient is four ops, each of which rounds: (g - sum(g * y)) * y.
    y, axis = saved
    terms = rounded(gradient * y, dtype)
    inner = _half_total(terms, axis) if dtype is FLOAT16 else rounded(total(terms, axis), dtype)
    return (rounded(gradient - inner, dtype) * y,)


def _log_softmax_forward(dtype: DType, x: Array, axis: int) -> tuple[Array, Any]:
    shifted = x - x.max(axis=axis, keepdims=True)
    y = rounded(shifted - np.log(total(np.exp(shifted), axis)), dtype)
    return y, (y, axis)


def _log_softmax_backward(
    dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    y, axis = saved
    summed = rounded(total(gradient, axis), dtype)
    return (gradient - rounded(summed * rounded(np.exp(y), dtype), dtype),)


SOFTMAX = Op("softmax", _softmax_forward, _softmax_backward, on_grid=True)
LOG_SOFTMAX = Op("log_softmax", _log_softmax_forward, _log_softmax_backward, on_grid=True)


def relu(x: Tensor) -> Tensor:
    """Return ``max(x, 0)``; slope 0 at 0."""
    return apply(RELU, x)


def general_relu(x: Tensor, max_value: float | None, negative_slope: float, threshold: float) -> Tensor:
    """Return relu with a cap, a slope below, and a threshold at which it is 0."""
    return apply(GENERAL_RELU, x, max_value=max_value, slope=negative_slope, threshold=threshold)


def relu6(x: Tensor) -> Tensor:
    """Return ``min(max(x, 0), 6)``; slope 0 at both corners."""
    return apply(RELU6, x)


def sigmoid(x: Tensor) -> Tensor:
    """Return ``1 / (1 + exp(-x))``."""
    return apply(SIGMOID, x)


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent."""
    return apply(TANH, x)


def exponential(x: Tensor) -> Tensor:
    """Return ``exp(x)``."""
    return apply(EXPONENTIAL, x)


def softplus(x: Tensor) -> Tensor:
    """Return ``log(1 + exp(x))`` without overflow."""
    return apply(SOFTPLUS, x)


def softsign(x: Tensor) -> Tensor:
    """Return ``x / (1 + |x|)``."""
    return apply(SOFTSIGN, x)


def silu(x: Tensor) -> Tensor:
    """Return ``x * sigmoid(x)`` (swish)."""
    return apply(SILU, x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Return x above 0, ``alpha * (exp(x) - 1)`` below."""
    return apply(ELU, x, alpha=alpha)


def selu(x: Tensor) -> Tensor:
    """Return the self-normalizing elu (Klambauer 2017); slope 1.0507 at 0."""
    return apply(SELU, x)


def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Return ``max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)``."""
    return apply(CELU, x, alpha=alpha)


def hard_sigmoid(x: Tensor, slope: float) -> Tensor:
    """Return ``clip(slope * x + 0.5, 0, 1)``; the slope is 0.2 in Keras 2 and 1/6 in Keras 3."""
    return apply(HARD_SIGMOID, x, slope=slope)


def hard_tanh(x: Tensor) -> Tensor:
    """Return ``clip(x, -1, 1)``; slope 1 at both corners."""
    return apply(HARD_TANH, x, low=-1, high=1)


def leaky_relu(x: Tensor, slope: float = 0.2) -> Tensor:
    """Return x above 0, ``slope * x`` at and below 0."""
    return apply(LEAKY_RELU, x, slope=slope)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return ``exp(x) / sum(exp(x))`` along an axis, computed from the maximum down."""
    return apply(SOFTMAX, x, axis=axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return ``log(softmax(x))`` along an axis."""
    return apply(LOG_SOFTMAX, x, axis=axis)
