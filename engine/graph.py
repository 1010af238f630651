"""A model as a graph of layer calls: what a config says of it, and the calls in an order in which they can run.

A model inside a model becomes calls of its own layers, under names such as "encoder/dense"; so whatever looks at the
calls of a network looks into nested models without knowing of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import EngineError
from engine.layered_policy import MapPolicy
from engine.layers import InputLayer, Layer, Shape
from engine.policy import Policy
from engine.run import Run
from engine.tape import Tensor
from engine.weights import WeightSpec

Output = tuple[int, int]
"""Index of a call, and which of its outputs."""

Reference = tuple[str, int, int]
"""What a config calls an output: name of the layer, number of its call, which of its outputs."""


@dataclass(frozen=True, slots=True)
class Node:
    """One call of a layer, as a config describes it.

    Attributes:
        layer: its name.
        number: which of its calls, from 0.
        sources: what it takes; empty for an InputLayer, and for the first layer of a Sequential model without one.
        options: constant arguments of the call.
        masked: whether the last source is no argument of its own, but the mask of the first.
    """

    layer: str
    number: int = 0
    sources: tuple[Reference, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    masked: bool = False


@dataclass(frozen=True)
class Outline:
    """What a config says of a model.

    Attributes:
        members: the layers, nested models among them, in the order of the config.
        nodes: their calls, in an order in which they can run.
        inputs: names of the InputLayers, in the order of the model's inputs; empty for a Sequential model without one.
        outputs: of the model.
        made_up: layers that stand before the first one of the config: the input that a Sequential model leaves out.
    """

    members: tuple[Layer, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[Reference, ...]
    made_up: int = 0

    def path_of(self, name: str) -> tuple[str | int, ...]:
        """Return where in the config a layer stands."""
        index = next(index for index, member in enumerate(self.members) if member.name == name)
        return ("config", "layers", max(index - self.made_up, 0))

    @property
    def in_order(self) -> tuple[Layer, ...]:
        """The layers in the order of first use, which is the order of Keras's weights."""
        by_name = {member.name: member for member in self.members}
        return tuple(by_name[name] for name in dict.fromkeys(node.layer for node in self.nodes))

    def placed(self, policy: Policy, prefix: str = "") -> Outline:
        """Return the outline with policies filled in.

        A layer with the policy "_infer" takes the dtype in which data enters, as TF 2.4's layers do at their first
        call.

        Args:
            policy: of layers that name none.
            prefix: what Keras puts before their names where a DTypePolicyMap looks for them.
        """
        inputs = [member for member in self.members if isinstance(member, InputLayer)]
        entering = Policy(inputs[0].input_dtype.name if inputs else "float32")
        placed = []
        for member in self.members:
            try:
                done = _placed(member, entering, policy, f"{prefix}{member.name}")
            except EngineError as error:
                raise error.at(*self.path_of(member.name or "")) from None
            placed.append(dataclasses.replace(done, dtype=entering) if done.policy.compute_dtype is None else done)
        return dataclasses.replace(self, members=tuple(placed))


def _placed(member: Layer, entering: Policy, policy: Policy, path: str) -> Layer:
    if isinstance(member.dtype, MapPolicy):
        member = dataclasses.replace(member, dtype=member.dtype.of_layer(path))
    own = entering if isinstance(member, InputLayer) else policy if member.is_model else policy.of_layer(path)
    return member.placed(member.name or "", own)


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a layer.

    Attributes:
        layer: whose call it is; shared layers have several.
        sources: the outputs it takes; empty for an InputLayer of the whole model.
        input_shapes: shapes of what it takes, batch axis first.
        output_shapes: shapes of what it gives.
        weights: the variables of the layer.
        options: constant arguments of the call.
        masked: whether the last source is the mask of the first; it has no input shape.
    """

    layer: Layer
    sources: tuple[Output, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    weights: tuple[WeightSpec, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    masked: bool = False

    @property
    def arguments(self) -> tuple[Output, ...]:
        """The outputs it takes as arguments, without the mask."""
        return self.sources[: len(self.input_shapes)]

    @property
    def output_shape(self) -> Shape:
        """Shape of the first (usually only) output."""
        return self.output_shapes[0]


@dataclass(frozen=True, slots=True)
class Graph:
    """Calls in an order in which each comes after its sources; which of them are inputs and outputs.

    Attributes:
        calls: of the layers, those of nested models in their place.
        inputs: the calls of InputLayers, in the order of the model's inputs.
        outputs: of the model.
        places: what each call of the outline (name of the layer, number of its call) gives.
    """

    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    outputs: tuple[Output, ...]
    places: Mapping[tuple[str, int], tuple[Output, ...]] = field(default_factory=dict)

    def shape(self, output: Output) -> Shape:
        """Return the shape of an output, batch axis first."""
        return self.calls[output[0]].output_shapes[output[1]]

    @property
    def weights(self) -> tuple[WeightSpec, ...]:
        """Every variable once, layer by layer, in Keras's ``weights`` order."""
        return tuple({spec.path: spec for call in self.calls for spec in call.weights}.values())

    def run(self, run: Run, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs of one pass."""
        given = dict(zip(self.inputs, inputs, strict=True))
        results: list[list[Tensor]] = []
        for index, call in enumerate(self.calls):
            if index in given:
                results.append([given[index]])
                continue
            taken = [results[source][part] for source, part in call.sources]
            options = {**call.options, "mask": taken.pop().data} if call.masked else call.options
            result = call.layer(run, *taken, **options)
            results.append(result if isinstance(result, list) else [result])
        return [results[call][part] for call, part in self.outputs]
