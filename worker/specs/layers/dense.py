"""Fully connected layers."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.layers.base import KERAS3, WHEN_SET, ActivityPenalty, BiasedConfig, KernelConfig, LayerNode, LowRank
from worker.specs.shape import Anything, Int, Shape, Text, Unset

QuantizationConfig: TypeAlias = Annotated[
    Anything, KERAS3, Field(description="Null, or a serialized `Float8QuantizationConfig`; the dtype policy decides.")
]


class DenseConfig(BiasedConfig):
    """What `Dense.get_config()` returns."""

    units: Int = Field(description="Width of the output; at least 1.", examples=[32])
    quantization_config: QuantizationConfig = None
    lora_rank: LowRank = None


class EinsumDenseConfig(KernelConfig):
    """What `EinsumDense.get_config()` returns; `bias_axes` says whether there is a bias."""

    activity_regularizer: ActivityPenalty = None
    equation: Text = Field(
        description="Input and kernel by letters, one an axis; `...` stands for any number of axes.",
        examples=["abc,cd->abd"],
    )
    output_shape: Int | Shape = Field(
        description="Shape of the output without the batch; null takes the input's size.", examples=[[None, 64]]
    )
    bias_axes: Text | None = Field(
        default=None, description="Letters of the output along which the bias varies; null is no bias.", examples=["d"]
    )
    quantization_config: QuantizationConfig = None
    gptq_unpacked_column_size: Annotated[Unset, WHEN_SET] = None
    lora_rank: LowRank = None


class Dense(LayerNode):
    """`activation(x @ kernel + bias)`."""

    class_name: Literal["Dense"]
    config: DenseConfig


class EinsumDense(LayerNode):
    """`activation(einsum(equation, x, kernel) + bias)`."""

    class_name: Literal["EinsumDense"]
    config: EinsumDenseConfig
