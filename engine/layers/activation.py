"""Layers that only apply a function: Activation, ReLU, Softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import activations, ops
from engine.activations import Activation as ActivationFunction
from engine.configured import any_integer, not_negative, optional, refuse, setting
from engine.dtypes import FLOAT16
from engine.errors import ShapeMismatch
from engine.layers.base import Layer, Shape
from engine.run import Run
from engine.tape import Array, Tensor


@dataclass(frozen=True)
class Activation(Layer):
    """Applies an activation function. Source: ``keras.layers.Activation``."""

    activation: ActivationFunction = setting(activations.get, write=activations.write)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return ``activation(inputs)``."""
        return self.activation(inputs[0], self.conventions)


@dataclass(frozen=True)
class ReLU(Layer):
    """``x`` above the threshold (at most max_value), ``negative_slope * (x - threshold)`` at and below it.

    Source: ``keras.layers.ReLU``.
    """

    max_value: float | None = setting(optional(not_negative), None)
    negative_slope: float = setting(not_negative, 0.0)
    threshold: float = setting(not_negative, 0.0)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the thresholded, leaky, capped relu."""
        if self.max_value is None and not self.negative_slope and not self.threshold:
            return ops.relu(inputs[0])
        return ops.general_relu(inputs[0], self.max_value, self.negative_slope, self.threshold)


def _axis(key: str, value: Any) -> int:
    if isinstance(value, list | tuple):
        if len(value) != 1:
            raise refuse(key, "one axis", value)
        value = value[0]
    return any_integer(key, value)


@dataclass(frozen=True)
class Softmax(Layer):
    """Softmax along an axis, with an optional mask. Source: ``keras.layers.Softmax``."""

    axis: int = setting(_axis, -1)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the input, which must have the axis."""
        axes = len(shapes[0])
        if not -axes <= self.axis < axes:
            message = f"Softmax {self.name!r} has axis {self.axis}, but its input has {axes} axes (batch axis first)."
            raise ShapeMismatch(message, path=("axis",))
        return shapes[0]

    def call(self, run: Run, *inputs: Tensor, mask: Array | None = None) -> Tensor:
        """Return the softmax; masked-out entries (mask 0) get a large negative number added first."""
        x = inputs[0]
        if mask is not None:
            x = ops.add(x, self._adder(x, mask))
        y = ops.softmax(x, self.axis)
        y.logits = x
        return y

    def _adder(self, x: Tensor, mask: Array) -> Tensor:
        # -1e9 does not fit into float16: TF 2.4 adds its smallest number there, Keras 3 half of that.
        narrow = -FLOAT16.max / 2 if self.conventions.keras3 else -FLOAT16.max
        low = narrow if x.dtype is FLOAT16 else -1e9
        adder = (1 - np.asarray(mask, dtype=x.data.dtype)) * x.data.dtype.type(low)
        return ops.cast(Tensor(adder, x.dtype), x.dtype)
