"""Shapes of models: what `model.to_json()` prints."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.bounds import MOST_ITEMS, AtMost
from worker.specs.layers.models import FunctionalConfig, SequentialConfig
from worker.specs.shape import Anything, Node, OneOf, Text, tabulate


class ModelNode(Node):
    """What `to_json()` prints around a config."""

    keras_version: Text | None = Field(default=None, description="Printed by Keras 2.", examples=["2.4.0"])
    backend: Text | None = Field(default=None, description="Printed by Keras 2.", examples=["tensorflow"])
    compile_config: Annotated[dict[str, Anything], AtMost(MOST_ITEMS)] | None = Field(
        default=None, description="Printed by Keras 3; a job's `compile` goes before it, an inspection may do with it."
    )
    training_config: Annotated[dict[str, Anything], AtMost(MOST_ITEMS)] | None = Field(
        default=None, description="Stored by Keras 2 beside the config; as `compile_config`."
    )


class Sequential(ModelNode):
    """A stack of layers."""

    class_name: Literal["Sequential"]
    config: SequentialConfig


class Functional(ModelNode):
    """A graph of layers."""

    class_name: Literal["Functional"]
    config: FunctionalConfig


class Model(Functional):
    """A graph of layers, under the name that older Keras prints."""

    class_name: Literal["Model"]  # type: ignore[assignment]


MODELS = tabulate(Sequential, Functional, Model)
ModelValue: TypeAlias = Annotated[ModelNode, OneOf("model", MODELS)]
