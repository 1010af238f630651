"""Convolutions over sequences (1D) and images (2D)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worker.specs.constraints import ConstraintValue
from worker.specs.initializers import InitializerValue
from worker.specs.layers.base import KERAS2, WHEN_SET, ActivityPenalty, BiasedConfig, ChannelsLast, LayerNode
from worker.specs.regularizers import RegularizerValue
from worker.specs.shape import Int, Integers, Text, Unset


class WindowedConfig(BiasedConfig):
    """What every convolution's `get_config()` returns."""

    activity_regularizer: ActivityPenalty = None
    kernel_size: Integers = Field(
        description="Length of the window, or `[height, width]`; one number counts for both.", examples=[3, [3, 3]]
    )
    strides: Integers = Field(default=1, description="How far the window moves.", examples=[[2, 2]])
    padding: Text = Field(
        default="valid",
        description="`valid` keeps to the input, `same` pads to ceil(input / stride); `causal` (1D only) looks back.",
        examples=["valid", "same", "causal"],
    )
    data_format: ChannelsLast = "channels_last"
    dilation_rate: Integers = Field(
        default=1, description="Distance between the places of a window; above 1 only without strides."
    )


class ConvConfig(WindowedConfig):
    """What `Conv1D.get_config()` and `Conv2D.get_config()` return."""

    filters: Int = Field(description="Channels of the output; at least 1.", examples=[16])
    groups: Int = Field(default=1, description="Parts that the channels are cut into, each convolved by itself.")
    quantization_config: Annotated[Unset, WHEN_SET] = None


class ConvTransposeConfig(WindowedConfig):
    """What `Conv1DTranspose.get_config()` and `Conv2DTranspose.get_config()` return."""

    filters: Int = Field(description="Channels of the output; at least 1.", examples=[16])
    output_padding: Integers | None = Field(
        default=None, description="What is added to the output's length, below the stride; null finds it."
    )
    groups: Annotated[Literal[1], WHEN_SET] = 1


class DepthwiseConvConfig(WindowedConfig):
    """What `DepthwiseConv1D.get_config()` and `DepthwiseConv2D.get_config()` return."""

    kernel_initializer: Annotated[InitializerValue, KERAS2] = "glorot_uniform"
    kernel_regularizer: Annotated[RegularizerValue, KERAS2] = None
    kernel_constraint: Annotated[ConstraintValue, KERAS2] = None
    groups: Annotated[Int, WHEN_SET] = Field(default=1, description="Printed by tf_keras; only 1.")
    depth_multiplier: Int = Field(default=1, description="Outputs made of each channel.")
    depthwise_initializer: InitializerValue = "glorot_uniform"
    depthwise_regularizer: RegularizerValue = None
    depthwise_constraint: ConstraintValue = None


class SeparableConvConfig(DepthwiseConvConfig):
    """What `SeparableConv1D.get_config()` and `SeparableConv2D.get_config()` return."""

    filters: Int = Field(description="Channels of the output; at least 1.", examples=[16])
    pointwise_initializer: InitializerValue = "glorot_uniform"
    pointwise_regularizer: RegularizerValue = None
    pointwise_constraint: ConstraintValue = None


class Conv1D(LayerNode):
    """A window that slides over a sequence: (batch, steps, channels) to (batch, places, filters)."""

    class_name: Literal["Conv1D"]
    config: ConvConfig


class Conv2D(LayerNode):
    """A window that slides over an image: (batch, height, width, channels) to (batch, rows, columns, filters)."""

    class_name: Literal["Conv2D"]
    config: ConvConfig


class Conv1DTranspose(LayerNode):
    """A convolution of a sequence turned around: it makes sequences longer."""

    class_name: Literal["Conv1DTranspose"]
    config: ConvTransposeConfig


class Conv2DTranspose(LayerNode):
    """A convolution of an image turned around: it makes images larger."""

    class_name: Literal["Conv2DTranspose"]
    config: ConvTransposeConfig


class DepthwiseConv1D(LayerNode):
    """Each channel of a sequence convolved by itself."""

    class_name: Literal["DepthwiseConv1D"]
    config: DepthwiseConvConfig


class DepthwiseConv2D(LayerNode):
    """Each channel of an image convolved by itself."""

    class_name: Literal["DepthwiseConv2D"]
    config: DepthwiseConvConfig


class SeparableConv1D(LayerNode):
    """Each channel of a sequence convolved by itself, then mixed at each place."""

    class_name: Literal["SeparableConv1D"]
    config: SeparableConvConfig


class SeparableConv2D(LayerNode):
    """Each channel of an image convolved by itself, then mixed at each place."""

    class_name: Literal["SeparableConv2D"]
    config: SeparableConvConfig
