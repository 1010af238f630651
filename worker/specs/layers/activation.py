"""Layers that only apply a function."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worker.specs.constraints import ConstraintValue
from worker.specs.initializers import InitializerValue
from worker.specs.layers.base import KERAS2, KERAS3, Axes, LayerConfig, LayerNode
from worker.specs.regularizers import RegularizerValue
from worker.specs.shape import Integers, Number, Text


class ActivationConfig(LayerConfig):
    """What `Activation.get_config()` returns."""

    activation: Text = Field(description="Name of an activation function.", examples=["relu", "softmax"])


class ReLUConfig(LayerConfig):
    """What `ReLU.get_config()` returns."""

    max_value: Number | None = Field(default=None, description="Ceiling of the output; null for none.")
    negative_slope: Number | None = 0.0
    threshold: Number | None = 0.0


class LeakyReLUConfig(LayerConfig):
    """What `LeakyReLU.get_config()` returns; each line of Keras has its own name for the slope, 0.3 by default."""

    alpha: Annotated[Number | None, KERAS2] = Field(default=None, description="Slope below 0.", examples=[0.3])
    negative_slope: Annotated[Number | None, KERAS3] = Field(default=None, description="Slope below 0.", examples=[0.3])


class ELUConfig(LayerConfig):
    """What `ELU.get_config()` returns."""

    alpha: Number = Field(default=1.0, description="What the output tends to below 0, with a minus.")


class ThresholdedReLUConfig(LayerConfig):
    """What `ThresholdedReLU.get_config()` returns."""

    theta: Number = Field(default=1.0, description="Values up to this one become 0.")


class PReLUConfig(LayerConfig):
    """What `PReLU.get_config()` returns."""

    alpha_initializer: InitializerValue = "zeros"
    alpha_regularizer: RegularizerValue = None
    alpha_constraint: ConstraintValue = None
    shared_axes: Integers | None = Field(default=None, description="Axes along which the slope is one number.")


class SoftmaxConfig(LayerConfig):
    """What `Softmax.get_config()` returns."""

    axis: Axes = -1


class Identity(LayerNode):
    """Gives what it takes."""

    class_name: Literal["Identity"]
    config: LayerConfig = LayerConfig()


class Activation(LayerNode):
    """An activation function as a layer."""

    class_name: Literal["Activation"]
    config: ActivationConfig


class ReLU(LayerNode):
    """Rectifier with slope, threshold and ceiling."""

    class_name: Literal["ReLU"]
    config: ReLUConfig


class LeakyReLU(LayerNode):
    """Rectifier with a slope below 0."""

    class_name: Literal["LeakyReLU"]
    config: LeakyReLUConfig


class ELU(LayerNode):
    """Exponential linear unit: `alpha * (exp(x) - 1)` below 0."""

    class_name: Literal["ELU"]
    config: ELUConfig


class ThresholdedReLU(LayerNode):
    """The values above a threshold, else 0."""

    class_name: Literal["ThresholdedReLU"]
    config: ThresholdedReLUConfig


class PReLU(LayerNode):
    """Rectifier with a learnt slope below 0."""

    class_name: Literal["PReLU"]
    config: PReLUConfig


class Softmax(LayerNode):
    """Softmax over one axis."""

    class_name: Literal["Softmax"]
    config: SoftmaxConfig
