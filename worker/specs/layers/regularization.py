"""Layers that disturb training so that it generalizes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worker.specs.layers.base import KERAS2, KERAS3, LayerConfig, LayerNode, Seed
from worker.specs.shape import Bool, Number, Shape, Text


class DropoutConfig(LayerConfig):
    """What `Dropout.get_config()` and `AlphaDropout.get_config()` return."""

    rate: Number = Field(description="Fraction of the inputs set to zero, from 0 to 1.", examples=[0.2])
    noise_shape: Shape | None = Field(
        default=None, description="Shape of what is drawn; null, or a null in it, is the input's size."
    )
    seed: Seed = None


class SpatialDropout1DConfig(LayerConfig):
    """What `SpatialDropout1D.get_config()` returns."""

    trainable: Annotated[Bool, KERAS2] = Field(default=True, description="It has no variables; Keras 2 prints it.")
    rate: Number = Field(description="Fraction of the features set to zero, from 0 to 1.", examples=[0.2])
    noise_shape: Annotated[Shape | None, KERAS2] = None
    seed: Seed = None


class SpatialDropout2DConfig(SpatialDropout1DConfig):
    """What `SpatialDropout2D.get_config()` returns."""

    data_format: Annotated[Text | None, KERAS3] = "channels_last"


class GaussianDropoutConfig(LayerConfig):
    """What `GaussianDropout.get_config()` returns."""

    rate: Number = Field(
        description="Strength of the noise, whose deviation is sqrt(rate / (1 - rate)).", examples=[0.2]
    )
    seed: Annotated[Seed, KERAS3] = None


class GaussianNoiseConfig(LayerConfig):
    """What `GaussianNoise.get_config()` returns."""

    stddev: Number = Field(description="Deviation of the noise.", examples=[0.1])
    seed: Annotated[Seed, KERAS3] = None


class ActivityRegularizationConfig(LayerConfig):
    """What `ActivityRegularization.get_config()` returns."""

    l1: Number = Field(default=0.0, description="Factor of the sum of absolute values.")
    l2: Number = Field(default=0.0, description="Factor of the sum of squares.")


class Dropout(LayerNode):
    """Random zeros while training."""

    class_name: Literal["Dropout"]
    config: DropoutConfig


class AlphaDropout(LayerNode):
    """Dropout for `selu`: mean and deviation stay."""

    class_name: Literal["AlphaDropout"]
    config: DropoutConfig


class SpatialDropout1D(LayerNode):
    """Whole features of a sequence set to zero at random."""

    class_name: Literal["SpatialDropout1D"]
    config: SpatialDropout1DConfig


class SpatialDropout2D(LayerNode):
    """Whole channels of an image set to zero at random."""

    class_name: Literal["SpatialDropout2D"]
    config: SpatialDropout2DConfig


class GaussianDropout(LayerNode):
    """Values multiplied by noise around 1 while training."""

    class_name: Literal["GaussianDropout"]
    config: GaussianDropoutConfig


class GaussianNoise(LayerNode):
    """Noise added while training."""

    class_name: Literal["GaussianNoise"]
    config: GaussianNoiseConfig


class ActivityRegularization(LayerNode):
    """A penalty on what goes through."""

    class_name: Literal["ActivityRegularization"]
    config: ActivityRegularizationConfig
