"""Models used as layers, and how a whole model becomes calls of its innermost layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from engine.conventions import TF24, Conventions
from engine.dtypes import DType
from engine.errors import EngineError, InvalidValue, ShapeMismatch
from engine.graph import Call, Graph, Outline, Output, Reference
from engine.layers import InputLayer, Layer, Shape
from engine.layers.base import MANY, Shapes
from engine.model_writing import written
from engine.policy import Policy
from engine.run import Run
from engine.tape import Tensor
from engine.weights import WeightSpec


@dataclass(frozen=True)
class Nested(Layer):
    """A model used as a layer. Source: ``keras.Model.__call__``.

    It casts nothing itself: its InputLayers bring what enters to their own dtypes, and its layers cast as ever.
    """

    outline: Outline
    is_model: ClassVar[bool] = True
    multiplies_in_float8: ClassVar[bool] = True

    @property
    def arity(self) -> tuple[int, int]:  # type: ignore[override]
        """As many tensors as the model has inputs."""
        count = max(len(self.outline.inputs), 1)
        return count, count

    @property
    def merges(self) -> bool:  # type: ignore[override]
        """Whether its tensors come as one list."""
        return self.arity[0] > 1

    @property
    def first_call(self) -> int:  # type: ignore[override]
        """Keras 2 counts the call that made the model."""
        return int(bool(self.outline.inputs))

    @cached_property
    def scoped(self) -> Mapping[str, Layer]:
        """The layers inside, under the names that their variables have; those of a frozen model are frozen."""
        return {
            member.name or "": dataclasses.replace(
                member, name=f"{self.name}/{member.name}", trainable=member.trainable and self.trainable
            )
            for member in self.outline.members
        }

    def placed(self, name: str, policy: Policy) -> Self:
        """Fill in names and policies, those of the layers inside too: they take the outermost model's."""
        done = super().placed(name, policy)
        prefix = f"{done.name}/" if self.class_name == "Sequential" else ""
        return dataclasses.replace(done, outline=self.outline.placed(policy, prefix))

    @cached_property
    def _graphs(self) -> dict[tuple[Shape, ...], Graph]:
        """The graphs made so far: layers around a model ask for its shapes, weights and calls one by one."""
        return {}

    def graph(self, *shapes: Shape) -> Graph:
        """Return the model alone as a graph, for inputs of these shapes."""
        if shapes not in self._graphs:
            self._graphs[shapes] = self._graph(shapes)
        return self._graphs[shapes]

    def _graph(self, shapes: tuple[Shape, ...]) -> Graph:
        entries = [
            InputLayer(name=f"{self.name}/{index}", batch_input_shape=shape, conventions=self.conventions)
            for index, shape in enumerate(shapes)
        ]
        builder = _Builder([Call(entry, (), (), (shape,)) for entry, shape in zip(entries, shapes, strict=True)])
        outputs = builder.follow(self.outline, self.scoped, [(index, 0) for index in range(len(shapes))], {})
        return Graph(tuple(builder.calls), tuple(range(len(shapes))), outputs, builder.at)

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Those of the layers inside."""
        return self.graph(*shapes).weights

    def compute_output_shape(self, *shapes: Shape) -> Shapes:
        """The shapes of the model's outputs."""
        graph = self.graph(*shapes)
        found = [graph.shape(output) for output in graph.outputs]
        return found if len(found) > 1 else found[0]

    def call(self, run: Run, *inputs: Tensor) -> Any:
        """Run the model."""
        found = self.graph(*((None, *x.shape[1:]) for x in inputs)).run(run, inputs)
        return found if len(found) > 1 else found[0]

    def inner_layers(self) -> tuple[Layer, ...]:
        """The layers inside, without those where data enter."""
        return tuple(layer for layer in self.scoped.values() if not isinstance(layer, InputLayer))

    def entering_dtype(self, dtype: DType) -> DType:
        """As it is."""
        return dtype

    def output_dtype(self, *entered: DType) -> DType:
        """What the layers inside make of it."""
        given = dict(zip(self.outline.inputs, entered, strict=False))
        found: dict[tuple[str, int], DType] = {}
        for node in self.outline.nodes:
            layer = self.scoped[node.layer]
            sources = node.sources[:-1] if node.masked else node.sources
            arriving = [found[source[:2]] for source in sources] or [given.get(node.layer, entered[0])]
            found[node.layer, node.number] = layer.output_dtype(*layer.entering_dtypes(*arriving))
        return found[self.outline.outputs[0][:2]]

    def read_dtype(self, spec: WeightSpec) -> DType:
        """As the inner layer reads it whose variable it is."""
        owner = next(layer for layer in self.inner_layers() if spec.path.startswith(f"{layer.name}/"))
        return owner.read_dtype(spec)

    def get_config(self, conventions: Conventions = TF24) -> dict[str, Any]:
        """Return what the line of Keras writes of the model."""
        # Without an input of its own it is a stack, whose config names no tensors.
        graph = self.graph(*(layer.shape for layer in self._entries())) if self.outline.inputs else Graph((), (), ())
        config = written(self.class_name, self.name or "", self.outline, graph, conventions)
        return config if self.trainable else {**config, "trainable": False}

    def _entries(self) -> list[InputLayer]:
        return [member for member in self.outline.members if isinstance(member, InputLayer)]


@dataclass(frozen=True)
class Sequential(Nested):
    """A stack of layers, as a layer."""

    origin: ClassVar[tuple[str, str | None]] = ("keras", None)


@dataclass(frozen=True)
class Functional(Nested):
    """A graph of layers, as a layer."""

    origin: ClassVar[tuple[str, str | None]] = ("keras.src.models.functional", "Functional")


def connected(outline: Outline, *, trainable: bool = True) -> Graph:
    """Return the graph of a whole model.

    Args:
        outline: of the model.
        trainable: whether any of its layers may be; those of a frozen model are frozen.

    Raises:
        EngineError: layers do not fit together; with the path to what is wrong.
    """
    builder = _Builder([])
    members = {member.name or "": _under(member, trainable) for member in outline.members}
    outputs = builder.follow(outline, members, None, {})
    inputs = tuple(builder.at[name, 0][0][0] for name in outline.inputs)
    return Graph(tuple(builder.calls), inputs, outputs, builder.at)


def _under(member: Layer, trainable: bool) -> Layer:
    return member if trainable else dataclasses.replace(member, trainable=False)


class _Builder:
    """Collects calls.

    Attributes:
        calls: so far.
        at: what the calls of the outline followed last give.
    """

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.at: dict[tuple[str, int], tuple[Output, ...]] = {}

    def follow(
        self,
        outline: Outline,
        members: Mapping[str, Layer],
        entering: Sequence[Output] | None,
        options: Mapping[str, Any],
    ) -> tuple[Output, ...]:
        """Add the calls of a model; return its outputs.

        Args:
            outline: of the model.
            members: its layers by the names that the outline gives them.
            entering: what it is called with; None for the outermost model, whose inputs are given at each run.
            options: constant arguments of the call, which hold for its layers too unless those have their own.
        """
        at: dict[tuple[str, int], tuple[Output, ...]] = {}
        given = dict(zip(outline.inputs, entering or (), strict=False))
        for node in outline.nodes:
            layer = members[node.layer]
            try:
                if isinstance(layer, InputLayer):
                    at[node.layer, node.number] = self._enter(layer, given.get(node.layer))
                else:
                    sources = tuple(_part(at, source, layer) for source in node.sources) or tuple(entering or ())
                    kept = {key: value for key, value in options.items() if key in layer.options}
                    found = self._add(layer, sources, {**kept, **node.options}, masked=node.masked)
                    at[node.layer, node.number] = found
            except EngineError as error:
                inside = () if isinstance(layer, Nested) else ("config",)
                raise error.at(*outline.path_of(node.layer), *inside) from None
        self.at = at
        return tuple(_end(at, output) for output in outline.outputs)

    def _enter(self, layer: InputLayer, source: Output | None) -> tuple[Output, ...]:
        """Add the call of an InputLayer: that of a nested model takes what the model is called with."""
        if source is None:
            self.calls.append(Call(layer, (), (), (layer.shape,)))
        else:
            shape = self.calls[source[0]].output_shapes[source[1]]
            self.calls.append(Call(layer, (source,), (shape,), (_fitted(layer, shape),)))
        return ((len(self.calls) - 1, 0),)

    def _add(
        self, layer: Layer, sources: tuple[Output, ...], options: Mapping[str, Any], *, masked: bool
    ) -> tuple[Output, ...]:
        arguments = sources[:-1] if masked else sources
        _check_arity(layer, len(arguments))
        if isinstance(layer, Nested):
            # The mask of a model's input is the mask that its input carries.
            return self.follow(layer.outline, layer.scoped, arguments, options)
        shapes = tuple(self.calls[call].output_shapes[part] for call, part in arguments)
        given = layer.compute_output_shape(*shapes)
        outputs = tuple(given) if isinstance(given, list) else (given,)
        self.calls.append(Call(layer, sources, shapes, outputs, layer.weight_specs(*shapes), dict(options), masked))
        return tuple((len(self.calls) - 1, part) for part in range(len(outputs)))


def _part(at: Mapping[tuple[str, int], tuple[Output, ...]], source: Reference, layer: Layer) -> Output:
    outputs = at[source[:2]]
    if source[2] >= len(outputs):
        message = f"{layer.class_name} {layer.name!r} takes output {source[2]} of a call that has fewer."
        raise InvalidValue(message, code="malformed_graph")
    return outputs[source[2]]


def _end(at: Mapping[tuple[str, int], tuple[Output, ...]], output: Reference) -> Output:
    outputs = at[output[:2]]
    if output[2] >= len(outputs):
        message = f"`output_layers` names {output[0]!r} (call {output[1]}, output {output[2]}), which does not exist."
        raise InvalidValue(message, code="malformed_graph", path=("config", "output_layers"))
    return outputs[output[2]]


def _check_arity(layer: Layer, count: int) -> None:
    least, most = layer.arity
    if least <= count <= most:
        return
    wanted = "one input" if most == 1 else f"{least} to {most} inputs" if most < MANY else f"at least {least} inputs"
    message = f"{layer.class_name} {layer.name!r} takes {wanted}, but is called with {count}."
    raise InvalidValue(message, code="malformed_graph")


def _fitted(layer: InputLayer, shape: Shape) -> Shape:
    """Return the shape of what enters a nested model, with the sizes that only one side knows."""
    own = layer.shape
    if len(own) == len(shape) and all(
        None in pair or pair[0] == pair[1] for pair in zip(own[1:], shape[1:], strict=True)
    ):
        return (shape[0], *(a if b is None else b for a, b in zip(own[1:], shape[1:], strict=True)))
    message = f"InputLayer {layer.name!r} takes the shape {list(own)}, but the model is called with {list(shape)}."
    raise ShapeMismatch(message)
