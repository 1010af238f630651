"""Layers that change the shape, the place or the size of values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worker.specs.bounds import MOST_AXES, AtMost
from worker.specs.layers.base import KERAS3, WHEN_SET, ChannelsLast, LayerConfig, LayerNode
from worker.specs.shape import Int, Integers, Margin, Numbers, Text


class FlattenConfig(LayerConfig):
    """What `Flatten.get_config()` returns."""

    data_format: ChannelsLast = "channels_last"


class ReshapeConfig(LayerConfig):
    """What `Reshape.get_config()` returns."""

    target_shape: Integers = Field(
        description="The shape behind the batch axis; one size may be -1, which is then found.", examples=[[8, 8, 1]]
    )


class PermuteConfig(LayerConfig):
    """What `Permute.get_config()` returns."""

    dims: Annotated[tuple[Int, ...], AtMost(MOST_AXES)] = Field(
        description="The axes behind the batch axis in their new order, counted from 1.", examples=[[2, 1]]
    )


class RepeatVectorConfig(LayerConfig):
    """What `RepeatVector.get_config()` returns."""

    n: Int = Field(description="How often each row is repeated.", examples=[3])


class MarginConfig(LayerConfig):
    """What zero padding and cropping have in common."""

    data_format: ChannelsLast = "channels_last"


class ZeroPadding1DConfig(MarginConfig):
    """What `ZeroPadding1D.get_config()` returns."""

    data_format: Annotated[ChannelsLast, KERAS3] = "channels_last"
    padding: Margin = Field(default=1, description="Steps before and after: one number, or two.", examples=[[1, 1]])


class ZeroPadding2DConfig(MarginConfig):
    """What `ZeroPadding2D.get_config()` returns."""

    padding: Margin = Field(
        default=1,
        description="Rows and columns: one number, `[rows, columns]`, or `[[top, bottom], [left, right]]`.",
        examples=[[[1, 1], [1, 1]]],
    )


class Cropping1DConfig(MarginConfig):
    """What `Cropping1D.get_config()` returns."""

    data_format: Annotated[ChannelsLast, WHEN_SET] = "channels_last"
    cropping: Margin = Field(default=1, description="Steps cut before and after.", examples=[[1, 1]])


class Cropping2DConfig(MarginConfig):
    """What `Cropping2D.get_config()` returns."""

    cropping: Margin = Field(default=0, description="Rows and columns cut, as in padding.", examples=[[[1, 1], [1, 1]]])


class UpSampling1DConfig(LayerConfig):
    """What `UpSampling1D.get_config()` returns."""

    size: Int = Field(default=2, description="How often each step is repeated.")


class UpSampling2DConfig(LayerConfig):
    """What `UpSampling2D.get_config()` returns."""

    size: Integers = Field(default=2, description="Factor of rows and columns: one number, or `[rows, columns]`.")
    data_format: ChannelsLast = "channels_last"
    interpolation: Text = Field(default="nearest", examples=["nearest", "bilinear"])


class RescalingConfig(LayerConfig):
    """What `Rescaling.get_config()` returns."""

    scale: Numbers = Field(description="Factor of the values: a number, or a list spread over the last axes.")
    offset: Numbers = Field(default=0.0, description="Added after the factor, likewise.")


class Flatten(LayerNode):
    """All axes but the batch as one."""

    class_name: Literal["Flatten"]
    config: FlattenConfig


class Reshape(LayerNode):
    """The same values in another shape."""

    class_name: Literal["Reshape"]
    config: ReshapeConfig


class Permute(LayerNode):
    """Axes in another order."""

    class_name: Literal["Permute"]
    config: PermuteConfig


class RepeatVector(LayerNode):
    """Each row repeated as the steps of a sequence."""

    class_name: Literal["RepeatVector"]
    config: RepeatVectorConfig


class ZeroPadding1D(LayerNode):
    """Zeros before and after a sequence."""

    class_name: Literal["ZeroPadding1D"]
    config: ZeroPadding1DConfig


class ZeroPadding2D(LayerNode):
    """Zeros around an image."""

    class_name: Literal["ZeroPadding2D"]
    config: ZeroPadding2DConfig


class Cropping1D(LayerNode):
    """A sequence without its ends."""

    class_name: Literal["Cropping1D"]
    config: Cropping1DConfig


class Cropping2D(LayerNode):
    """An image without its margins."""

    class_name: Literal["Cropping2D"]
    config: Cropping2DConfig


class UpSampling1D(LayerNode):
    """A sequence made longer."""

    class_name: Literal["UpSampling1D"]
    config: UpSampling1DConfig


class UpSampling2D(LayerNode):
    """An image made larger."""

    class_name: Literal["UpSampling2D"]
    config: UpSampling2DConfig


class Rescaling(LayerNode):
    """`x * scale + offset`, such as pixels to [0, 1]."""

    class_name: Literal["Rescaling"]
    config: RescalingConfig
