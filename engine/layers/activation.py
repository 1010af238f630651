"""Layers that only apply a function: Activation, ReLU, Softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine import activations, constraints, initializers, ops, regularizers
from engine.activations import Activation as ActivationFunction
from engine.configured import not_negative, optional, setting
from engine.constraints import Constraint
from engine.dtypes import DType
from engine.errors import ShapeMismatch
from engine.initializers import Initializer, Zeros
from engine.layers.base import Layer, Shape
from engine.layers.entering import Integers
from engine.layers.masks import softmax_input, softmax_output, spread
from engine.layers.operands import FLOATS, check_match, check_taken
from engine.layers.readers import along, axes, axis_or_axes
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Tensor
from engine.weights import WeightSpec


@dataclass(frozen=True)
class Activation(Layer):
    """Applies an activation function. Source: ``keras.layers.Activation``."""

    supports_masking: ClassVar[bool] = True

    activation: ActivationFunction = setting(activations.get, write=activations.write)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the input; a gate halves its last axis."""
        last = shapes[0][-1]
        return (*shapes[0][:-1], last // 2) if self.activation.name == "glu" and last else shapes[0]

    def entering_dtype(self, dtype: DType) -> DType:
        """As everywhere; but Keras 3 converts integers for every function that needs fractions."""
        converts = self.conventions.keras3 and not dtype.is_floating
        whole = self.activation.name in {"linear", "relu"}
        return self.converted(dtype) if converts and not whole else super().entering_dtype(dtype)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return ``activation(inputs)``."""
        if self.activation.name == "softmax" and not self.conventions.keras3:
            check_taken("logits", inputs[0].dtype, FLOATS)
        return self.activation(inputs[0], self.conventions)


@dataclass(frozen=True)
class ReLU(Layer):
    """``x`` above the threshold (at most max_value), ``negative_slope * (x - threshold)`` at and below it.

    Source: ``keras.layers.ReLU``.
    """

    supports_masking: ClassVar[bool] = True

    max_value: float | None = setting(optional(not_negative), None)
    negative_slope: float = setting(not_negative, 0.0)
    threshold: float = setting(not_negative, 0.0)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the thresholded, leaky, capped relu."""
        if self.max_value is None and not self.negative_slope and not self.threshold:
            return ops.relu(inputs[0])
        return ops.general_relu(inputs[0], self.max_value, self.negative_slope, self.threshold)


@dataclass(frozen=True)
class Softmax(Layer):
    """Softmax along an axis, with an optional mask. Source: ``keras.layers.Softmax``."""

    integers: ClassVar[Integers] = "refused"

    supports_masking: ClassVar[bool] = True

    axis: int | tuple[int, ...] = setting(axis_or_axes, -1)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the input, which must have the axis."""
        count, given = len(shapes[0]), along(self.axis)
        places = [axis for axis in given if -count <= axis < count]
        if len({axis % count for axis in places}) < len(given):
            shown = self.axis if isinstance(self.axis, int) else list(self.axis)
            message = f"Softmax {self.name!r} has axis {shown}, but its input has {count} axes (batch axis first)."
            raise ShapeMismatch(message, path=("axis",))
        return shapes[0]

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the softmax; what a mask leaves out gets a large negative number first, and 0 after it in Keras 3."""
        x = inputs[0]
        if not self.conventions.keras3:
            check_taken("logits", x.dtype, FLOATS)
        mask = None if x.mask is None else spread(f"Softmax {self.name!r}", x.mask, x.shape)
        if mask is not None:
            x = softmax_input(x, mask, self.conventions)
        given = along(self.axis)
        if len(given) > 1:
            y = ops.exponential(ops.subtract(x, ops.logsumexp(x, given)))
        else:
            y = ops.softmax(x, given[0])
            y.logits = x
        return y if mask is None else softmax_output(y, mask, self.conventions)


@dataclass(frozen=True)
class ELU(Layer):
    """x above 0, ``alpha * (exp(x) - 1)`` below. Source: ``keras.layers.ELU``."""

    integers: ClassVar[Integers] = "refused"

    supports_masking: ClassVar[bool] = True

    alpha: float = setting(not_negative, 1.0)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Activate."""
        return ops.elu(inputs[0], self.alpha)


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """x above 0, a share of it below: ``alpha`` in Keras 2, ``negative_slope`` in Keras 3. Default 0.3.

    Source: ``keras.layers.LeakyReLU``.
    """

    supports_masking: ClassVar[bool] = True

    alpha: float | None = setting(optional(not_negative), None, only="keras2")
    negative_slope: float | None = setting(optional(not_negative), None, only="keras3")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.alpha if self.alpha is not None else self.negative_slope
        slope = 0.3 if given is None else given
        object.__setattr__(self, "alpha", None if self.conventions.keras3 else slope)
        object.__setattr__(self, "negative_slope", slope if self.conventions.keras3 else None)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Activate."""
        slope = self.negative_slope if self.conventions.keras3 else self.alpha
        return ops.leaky_relu(inputs[0], slope or 0.0)


@dataclass(frozen=True)
class ThresholdedReLU(Layer):
    """x above theta, else 0. Source: ``tf.keras.layers.ThresholdedReLU`` of Keras 2."""

    supports_masking: ClassVar[bool] = True

    theta: float = setting(not_negative, 1.0)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Activate."""
        return ops.general_relu(inputs[0], None, 0.0, self.theta)


@dataclass(frozen=True)
class PReLU(Layer):
    """x above 0, a learnt share of it below (He 2015). Source: ``keras.layers.PReLU``."""

    supports_masking: ClassVar[bool] = True

    alpha_initializer: Initializer = setting(initializers.read, Zeros(), write=initializers.write)
    alpha_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    alpha_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    shared_axes: tuple[int, ...] | None = setting(optional(axes), None)

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Alpha, one for each entry of a row, fewer along shared axes."""
        shared = {place if place >= 0 else place + len(shapes[0]) for place in self.shared_axes or ()}
        size = [1 if place in shared else length for place, length in enumerate(shapes[0])][1:]
        if None in size:
            raise ShapeMismatch(f"PReLU {self.name!r} needs known sizes, got {list(shapes[0])}.")
        known = tuple(length for length in size if length is not None)
        return (self.spec("alpha", known, self.alpha_initializer, self.alpha_regularizer),)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Activate: ``relu(x) - alpha * relu(-x)``, as Keras computes it."""
        x = inputs[0]
        alpha = self.weight(run, "alpha")
        check_match("Mul", "y", x.dtype, "x", alpha.dtype)  # in Keras 3 too
        below = ops.multiply(ops.negative(alpha), ops.relu(ops.negative(x)))
        return ops.add(ops.relu(x), below)
