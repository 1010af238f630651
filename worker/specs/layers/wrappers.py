"""Layers around other layers.

The inner layer may be any, another wrapper too; so its type is named here and made where all layers are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from worker.specs.layers.base import LayerConfig, LayerNode
from worker.specs.shape import Text, shallow

if TYPE_CHECKING:
    from worker.specs.layers import LayerValue


class TimeDistributedConfig(LayerConfig):
    """What `TimeDistributed.get_config()` returns."""

    layer: Annotated[LayerValue, BeforeValidator(shallow)] = Field(
        description="The layer that every step goes through.",
        examples=[{"class_name": "Dense", "config": {"units": 8}}],
    )


class BidirectionalConfig(LayerConfig):
    """What `Bidirectional.get_config()` returns."""

    layer: Annotated[LayerValue, BeforeValidator(shallow)] = Field(
        description="The recurrent layer that reads forwards.",
        examples=[{"class_name": "LSTM", "config": {"units": 16}}],
    )
    backward_layer: Annotated[LayerValue | None, BeforeValidator(shallow)] = Field(
        default=None, description="The one that reads backwards; null turns `layer` around, with weights of its own."
    )
    merge_mode: Text | None = Field(
        default="concat",
        description="How both outputs become one; null returns both.",
        examples=["concat", "sum", "mul", "ave"],
    )


class TimeDistributed(LayerNode):
    """The same layer at every step of a sequence."""

    class_name: Literal["TimeDistributed"]
    config: TimeDistributedConfig


class Bidirectional(LayerNode):
    """A recurrent layer that reads forwards, and one that reads backwards."""

    class_name: Literal["Bidirectional"]
    config: BidirectionalConfig
