"""Models, alone and as layers of other models.

A model in a model holds layers of any kind, models too; so their type is named here and made where all are known. The
published schema says of a nested model's layers only that they are what the outermost model's are: a schema that
unrolls itself without end is no use to the tools that read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from worker.specs.bounds import MOST_ITEMS, MOST_LAYERS, AtMost
from worker.specs.layers.base import KERAS3, NEWER, WHEN_SET, LayerNode
from worker.specs.policy import PolicyValue
from worker.specs.shape import Anything, Bool, Shape, Spec, Text, not_deeper

if TYPE_CHECKING:
    from worker.specs.layers import LayerValue

DEEPEST = 64
"""Lists and objects within each other in a nested model: more than the engine's 16 models in each other need."""
_ENDS: dict[str, Any] = {"anyOf": [{"type": "array", "items": {}}, {"type": "object"}]}
_INSIDE = WithJsonSchema(
    {
        "type": "array",
        "items": {"type": "object"},
        "description": "The layers, as in the config of the outermost model; models may stand up to 16 deep.",
    }
)


class SequentialConfig(Spec):
    """What `Sequential.get_config()` returns."""

    model_config = ConfigDict(defer_build=True)

    name: Text | None = Field(default=None, examples=["sequential"])
    trainable: Annotated[Bool, KERAS3] = True
    dtype: Annotated[PolicyValue, KERAS3] = Field(
        default=None, description="Policy of the model, printed by Keras 3; the job's `policy` goes before it."
    )
    layers: Annotated[tuple[LayerValue, ...], AtMost(MOST_LAYERS)] = Field(description="The layers, first to last.")
    build_input_shape: Annotated[Shape | None, WHEN_SET] = Field(
        default=None, description="Input shape with the batch, printed once the model was built."
    )


class FunctionalConfig(Spec):
    """What `Functional.get_config()` returns."""

    model_config = ConfigDict(defer_build=True)

    name: Text | None = Field(default=None, examples=["model"])
    trainable: Annotated[Bool, NEWER] = True
    layers: Annotated[tuple[LayerValue, ...], AtMost(MOST_LAYERS)] = Field(
        description="The layers with their `inbound_nodes`."
    )
    input_layers: Anything = Field(description="`[name, node, tensor]` of each input.", json_schema_extra=_ENDS)
    output_layers: Anything = Field(description="`[name, node, tensor]` of each output.", json_schema_extra=_ENDS)


class NestedSequentialConfig(SequentialConfig):
    """What `Sequential.get_config()` returns, of a model used as a layer."""

    layers: Annotated[tuple[LayerValue, ...], AtMost(MOST_LAYERS), BeforeValidator(not_deeper(DEEPEST)), _INSIDE]


class NestedFunctionalConfig(FunctionalConfig):
    """What `Functional.get_config()` returns, of a model used as a layer."""

    layers: Annotated[tuple[LayerValue, ...], AtMost(MOST_LAYERS), BeforeValidator(not_deeper(DEEPEST)), _INSIDE]


class NestedNode(LayerNode):
    """A model used as a layer."""

    compile_config: Annotated[dict[str, Anything], AtMost(MOST_ITEMS)] | None = Field(
        default=None, description="Printed by Keras 3; only the job's `compile` is used."
    )


class NestedSequential(NestedNode):
    """A stack of layers, used as a layer."""

    class_name: Literal["Sequential"]
    config: NestedSequentialConfig


class NestedFunctional(NestedNode):
    """A graph of layers, used as a layer."""

    class_name: Literal["Functional"]
    config: NestedFunctionalConfig


class NestedModel(NestedFunctional):
    """A graph of layers, used as a layer, under the name that older Keras prints."""

    class_name: Literal["Model"]  # type: ignore[assignment]
