"""Where sequences of numbers begin, and which of their steps count."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worker.specs.constraints import ConstraintValue
from worker.specs.initializers import InitializerValue
from worker.specs.layers.base import KERAS2, ActivityPenalty, LayerConfig, LayerNode, LowRank, Unquantized
from worker.specs.regularizers import RegularizerValue
from worker.specs.shape import Bool, Int, Number


class EmbeddingConfig(LayerConfig):
    """What `Embedding.get_config()` returns."""

    input_dim: Int = Field(
        description="Rows of the table; the data holds integers from 0 to `input_dim` - 1.", examples=[1000]
    )
    output_dim: Int = Field(description="Width of a row; at least 1.", examples=[16])
    embeddings_initializer: InitializerValue = "uniform"
    embeddings_regularizer: RegularizerValue = None
    activity_regularizer: ActivityPenalty = None
    embeddings_constraint: ConstraintValue = None
    mask_zero: Bool = Field(default=False, description="Whether number 0 means that there is no step here.")
    input_length: Annotated[Int | None, KERAS2] = Field(
        default=None, description="Steps of a sequence, as Keras 2 prints them."
    )
    quantization_config: Unquantized = None
    lora_rank: LowRank = None


class MaskingConfig(LayerConfig):
    """What `Masking.get_config()` returns."""

    mask_value: Number = Field(
        default=0.0, description="Steps all of whose features have this value are skipped by the layers that follow."
    )


class Embedding(LayerNode):
    """Rows of a learnt table, by number: the entry of models of integers, such as words."""

    class_name: Literal["Embedding"]
    config: EmbeddingConfig


class Masking(LayerNode):
    """Marks the steps that do not count."""

    class_name: Literal["Masking"]
    config: MaskingConfig
