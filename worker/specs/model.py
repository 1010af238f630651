"""Shapes of models: what `model.to_json()` prints."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.layers import LayerValue
from worker.specs.layers.base import KERAS3, WHEN_SET
from worker.specs.policy import PolicyValue
from worker.specs.shape import Anything, Bool, Node, OneOf, Only, Shape, Spec, Text, tabulate


class SequentialConfig(Spec):
    """What `Sequential.get_config()` returns."""

    name: Text | None = Field(default=None, examples=["sequential"])
    trainable: Annotated[Bool, KERAS3] = True
    dtype: Annotated[PolicyValue, KERAS3] = Field(
        default=None, description="Policy of the model, printed by Keras 3; the job's `policy` goes before it."
    )
    layers: tuple[LayerValue, ...] = Field(description="The layers, first to last.")
    build_input_shape: Annotated[Shape | None, WHEN_SET] = Field(
        default=None, description="Input shape with the batch, printed once the model was built."
    )


class FunctionalConfig(Spec):
    """What `Functional.get_config()` returns."""

    name: Text | None = Field(default=None, examples=["model"])
    trainable: Annotated[Bool, Only("tf_keras", "keras3")] = True
    layers: tuple[LayerValue, ...] = Field(description="The layers with their `inbound_nodes`.")
    input_layers: tuple[Anything, ...] = Field(description="`[name, node, tensor]` of each input.")
    output_layers: tuple[Anything, ...] = Field(description="`[name, node, tensor]` of each output.")


class ModelNode(Node):
    """What `to_json()` prints around a config."""

    keras_version: Text | None = Field(default=None, description="Printed by Keras 2.", examples=["2.4.0"])
    backend: Text | None = Field(default=None, description="Printed by Keras 2.", examples=["tensorflow"])
    compile_config: dict[str, Anything] | None = Field(
        default=None, description="Printed by Keras 3; the job's `compile` is used instead."
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
