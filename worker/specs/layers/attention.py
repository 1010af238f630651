"""Attention: every step looks at every other one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from worker.specs.constraints import ConstraintValue
from worker.specs.initializers import InitializerValue
from worker.specs.layers.base import (
    KERAS3,
    NEWER,
    TF_KERAS,
    WHEN_SET,
    ActivityPenalty,
    LayerConfig,
    LayerNode,
    Rate,
    Seed,
)
from worker.specs.regularizers import RegularizerValue
from worker.specs.shape import Bool, Int, Integers, Shape, Text, Unset


class OneHeadConfig(LayerConfig):
    """What attention in one head returns."""

    dropout: Rate = 0.0
    seed: Annotated[Seed, KERAS3] = None
    causal: Annotated[Bool, WHEN_SET] = Field(
        default=False, description="Printed by TF 2.4: whether a step looks only at itself and what came before."
    )


class AttentionConfig(OneHeadConfig):
    """What `Attention.get_config()` returns."""

    use_scale: Bool = Field(default=False, description="Whether the scores are multiplied by a learnt number.")
    score_mode: Annotated[Text, NEWER] = Field(default="dot", examples=["dot", "concat"])


class AdditiveAttentionConfig(OneHeadConfig):
    """What `AdditiveAttention.get_config()` returns."""

    use_scale: Bool = Field(default=True, description="Whether each feature has a learnt weight in the scores.")


class ProjectedConfig(LayerConfig):
    """What attention in many heads returns."""

    dropout: Rate = 0.0
    use_bias: Bool = True
    use_gate: Annotated[Literal[False], KERAS3] = False
    sliding_window: Annotated[Unset, KERAS3] = None
    kernel_initializer: InitializerValue = "glorot_uniform"
    bias_initializer: InitializerValue = "zeros"
    kernel_regularizer: RegularizerValue = None
    bias_regularizer: RegularizerValue = None
    activity_regularizer: ActivityPenalty = None
    kernel_constraint: ConstraintValue = None
    bias_constraint: ConstraintValue = None
    seed: Annotated[Seed, KERAS3] = None


class MultiHeadAttentionConfig(ProjectedConfig):
    """What `MultiHeadAttention.get_config()` returns."""

    num_heads: Int = Field(description="How many heads look at once; at least 1.", examples=[4])
    key_dim: Int = Field(description="Width of each head's queries and keys.", examples=[16])
    value_dim: Int | None = Field(default=None, description="Width of each head's values; null is `key_dim`.")
    output_shape: Int | Shape | None = Field(default=None, description="Width of the output; null is the query's.")
    attention_axes: Integers | None = Field(
        default=None, description="Along which the steps lie; null is all between batch and features."
    )
    query_shape: Annotated[Shape | None, TF_KERAS] = Field(default=None, description="Printed by tf_keras once built.")
    key_shape: Annotated[Shape | None, TF_KERAS] = None
    value_shape: Annotated[Shape | None, TF_KERAS] = None
    softmax_robust_masking: Annotated[Bool, WHEN_SET] = False


class GroupQueryAttentionConfig(ProjectedConfig):
    """What `GroupQueryAttention.get_config()` returns."""

    head_dim: Int = Field(description="Width of each head.", examples=[16])
    num_query_heads: Int = Field(description="A multiple of `num_key_value_heads`.", examples=[8])
    num_key_value_heads: Int = Field(description="Heads of keys and values, shared by the query heads.", examples=[2])


class Attention(LayerNode):
    """Attention in one head; inputs `[query, value]` or `[query, value, key]`."""

    class_name: Literal["Attention"]
    config: AttentionConfig


class AdditiveAttention(LayerNode):
    """Attention in one head by sums of query and key; inputs `[query, value]` or `[query, value, key]`."""

    class_name: Literal["AdditiveAttention"]
    config: AdditiveAttentionConfig


class MultiHeadAttention(LayerNode):
    """Attention in many heads; arguments query, value and maybe key."""

    class_name: Literal["MultiHeadAttention"]
    config: MultiHeadAttentionConfig


class GroupQueryAttention(LayerNode):
    """Attention in many heads that share keys and values."""

    class_name: Literal["GroupQueryAttention"]
    config: GroupQueryAttentionConfig
