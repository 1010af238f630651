"""Pooling: one number a window, or one number a channel."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worker.specs.layers.base import NEWER, ChannelsLast, LayerConfig, LayerNode
from worker.specs.shape import Bool, Integers, Text


class PoolingConfig(LayerConfig):
    """What `MaxPooling` and `AveragePooling` return, in 1D and 2D."""

    pool_size: Integers = Field(
        default=2, description="Length of the window, or `[height, width]`; one number counts for both.", examples=[2]
    )
    padding: Text = Field(default="valid", examples=["valid", "same"])
    strides: Integers | None = Field(default=None, description="How far the window moves; null is its own size.")
    data_format: ChannelsLast = "channels_last"


class GlobalPoolingConfig(LayerConfig):
    """What `GlobalMaxPooling` and `GlobalAveragePooling` return, in 1D and 2D."""

    data_format: ChannelsLast = "channels_last"
    keepdims: Annotated[Bool, NEWER] = Field(default=False, description="Whether the pooled axes stay, with size 1.")


class MaxPooling1D(LayerNode):
    """The largest value of each window of a sequence."""

    class_name: Literal["MaxPooling1D"]
    config: PoolingConfig


class MaxPooling2D(LayerNode):
    """The largest value of each window of an image."""

    class_name: Literal["MaxPooling2D"]
    config: PoolingConfig


class AveragePooling1D(LayerNode):
    """The mean of each window of a sequence."""

    class_name: Literal["AveragePooling1D"]
    config: PoolingConfig


class AveragePooling2D(LayerNode):
    """The mean of each window of an image."""

    class_name: Literal["AveragePooling2D"]
    config: PoolingConfig


class GlobalMaxPooling1D(LayerNode):
    """The largest value of each channel of a sequence."""

    class_name: Literal["GlobalMaxPooling1D"]
    config: GlobalPoolingConfig


class GlobalMaxPooling2D(LayerNode):
    """The largest value of each channel of an image."""

    class_name: Literal["GlobalMaxPooling2D"]
    config: GlobalPoolingConfig


class GlobalAveragePooling1D(LayerNode):
    """The mean of each channel over the steps that are not masked."""

    class_name: Literal["GlobalAveragePooling1D"]
    config: GlobalPoolingConfig


class GlobalAveragePooling2D(LayerNode):
    """The mean of each channel of an image."""

    class_name: Literal["GlobalAveragePooling2D"]
    config: GlobalPoolingConfig
