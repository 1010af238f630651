"""Layers that make one tensor of several."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.specs.layers.base import LayerConfig, LayerNode
from worker.specs.shape import Bool, Int, Integers


class ConcatenateConfig(LayerConfig):
    """What `Concatenate.get_config()` returns."""

    axis: Int = Field(default=-1, description="Axis along which the inputs are joined; -1 is the last.")


class DotConfig(LayerConfig):
    """What `Dot.get_config()` returns."""

    axes: Integers = Field(description="Axis that is summed over, or one of each input.", examples=[1, [2, 1]])
    normalize: Bool = Field(default=False, description="Whether the result is the cosine.")


class Add(LayerNode):
    """The sum of the inputs."""

    class_name: Literal["Add"]
    config: LayerConfig


class Subtract(LayerNode):
    """The first input minus the second."""

    class_name: Literal["Subtract"]
    config: LayerConfig


class Multiply(LayerNode):
    """The product of the inputs."""

    class_name: Literal["Multiply"]
    config: LayerConfig


class Average(LayerNode):
    """The mean of the inputs."""

    class_name: Literal["Average"]
    config: LayerConfig


class Maximum(LayerNode):
    """The largest of the inputs, element by element."""

    class_name: Literal["Maximum"]
    config: LayerConfig


class Minimum(LayerNode):
    """The smallest of the inputs, element by element."""

    class_name: Literal["Minimum"]
    config: LayerConfig


class Concatenate(LayerNode):
    """The inputs joined along one axis."""

    class_name: Literal["Concatenate"]
    config: ConcatenateConfig


class Dot(LayerNode):
    """Products of two inputs, summed along one axis of each."""

    class_name: Literal["Dot"]
    config: DotConfig
