"""Products in float8 with delayed scaling: E4M3 forward, E5M2 backward.

A tensor is divided by a scale, put onto the grid of float8, and multiplied back: "fake quantization", from which a
product in float8 that sums in the compute dtype differs by nothing but the order of sums. The scale of a step comes
from the largest magnitudes of the steps before it (arXiv:2209.05433, section 3.2; "delayed scaling").

The new scale and the new history travel as the gradients to the old ones, and overwrite them, as in Keras 3.
Source: ``Dense._float8_call`` and ``keras.quantizers.compute_float8_scale``, ``compute_float8_amax_history``,
``quantize_and_dequantize`` of Keras 3.15.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import FLOAT8_E4M3FN, FLOAT8_E5M2, DType
from engine.rounding import round_to
from engine.tape import Array, Op, Tensor, apply, rounded


def next_scale(history: Array, scale: Array, narrow: DType) -> Array:
    """Return the scale that brings the largest magnitude of a history to the largest number of a float8 dtype.

    Args:
        history: magnitudes, float32 of shape (length,).
        scale: float32 scalar, kept where the history holds nothing but zeros, or infinity or nan.
        narrow: the float8 dtype.
    """
    one = np.float32(1)
    largest = history.max()
    inverse = np.float32(narrow.max) / largest if 0 < largest < np.inf else one / scale
    return np.asarray(one / np.float32(inverse), np.float32)


def next_history(history: Array, x: Array) -> Array:
    """Return the history with the largest magnitude of x in front, and the oldest one dropped."""
    rolled = np.roll(history, -1)
    rolled[0] = np.abs(x).max(initial=0)
    return rolled


def quantized_and_back(x: Array, scale: Array, narrow: DType, dtype: DType) -> Array:
    """Return x as float8 keeps it under a scale, on the grid of the compute dtype; larger magnitudes saturate."""
    by = rounded(np.array([scale], dtype.storage), dtype)
    limit = dtype.storage.type(narrow.max)
    scaled = rounded(x / by, dtype)
    clipped = np.clip(scaled, -limit, limit, out=scaled)
    on_grid = round_to(clipped.astype(np.float32, copy=False), narrow)
    return rounded(on_grid.astype(dtype.storage, copy=False) * by, dtype)


def _inputs_forward(dtype: DType, x: Array, scale: Array, history: Array, training: bool) -> tuple[Array, Any]:
    kept = (next_scale(history, scale, FLOAT8_E4M3FN), next_history(history, x)) if training else (None, None)
    return quantized_and_back(x, scale, FLOAT8_E4M3FN, dtype), kept


def _inputs_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    return (gradient, *saved)  # straight through: saturated numbers too


def _outputs_forward(dtype: DType, y: Array, scale: Array, history: Array) -> tuple[Array, Any]:
    return y, (scale, history)


def _outputs_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    scale, history = saved
    narrowed = quantized_and_back(gradient, scale, FLOAT8_E5M2, dtype)
    return narrowed, next_scale(history, scale, FLOAT8_E5M2), next_history(history, gradient)


FLOAT8_INPUT = Op("float8_input", _inputs_forward, _inputs_backward, on_grid=True, gradient_on_grid=True)
FLOAT8_OUTPUT = Op("float8_output", _outputs_forward, _outputs_backward, on_grid=True, gradient_on_grid=True)


def float8_input(x: Tensor, scale: Tensor, history: Tensor, *, training: bool) -> Tensor:
    """Return x as E4M3 keeps it; its gradient passes as it is.

    Args:
        x: an operand of a product, in the compute dtype.
        scale: float32 scalar; its "gradient" is its next value.
        history: float32, shape (length,); its "gradient" is its next value.
        training: whether scale and history have a gradient.
    """
    return apply(FLOAT8_INPUT, x, scale, history, training=training)


def float8_output(y: Tensor, scale: Tensor, history: Tensor) -> Tensor:
    """Return y, whose gradient becomes what E5M2 keeps of it; scale and history as in :func:`float8_input`."""
    return apply(FLOAT8_OUTPUT, y, scale, history)
