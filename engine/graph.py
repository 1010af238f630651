"""Reading a Sequential or Functional config into a list of layer calls, in an order in which they can run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from engine import layers
from engine.configured import shown
from engine.conventions import Conventions
from engine.errors import EngineError, InvalidType, InvalidValue, Unsupported
from engine.layered_policy import MapPolicy
from engine.layers import InputLayer, Layer, Shape
from engine.layers.base import MANY
from engine.policy import Policy
from engine.weights import WeightSpec

Output = tuple[int, int]
"""Index of a call, and which of its outputs."""

Reference = tuple[str, int, int]
"""What a config calls an output: name of the layer, number of its call, which of its outputs."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """How a config describes one call of a layer."""

    sources: tuple[Reference, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a layer.

    Attributes:
        layer: whose call it is; shared layers have several.
        sources: the outputs it takes; empty for an InputLayer.
        input_shapes: shapes of what it takes, batch axis first.
        output_shapes: shapes of what it gives.
        weights: the variables of the layer.
        options: constant arguments of the call.
    """

    layer: Layer
    sources: tuple[Output, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    weights: tuple[WeightSpec, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output_shape(self) -> Shape:
        """Shape of the first (usually only) output."""
        return self.output_shapes[0]


@dataclass(frozen=True, slots=True)
class Graph:
    """Calls in an order in which each comes after its sources; which of them are inputs and outputs."""

    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    outputs: tuple[Output, ...]

    def shape(self, output: Output) -> Shape:
        """Return the shape of an output, batch axis first."""
        return self.calls[output[0]].output_shapes[output[1]]


def read_layers(config: Mapping[str, Any], conventions: Conventions) -> list[Layer]:
    """Return the layers of a Sequential or Functional config, in its order; errors carry the path to the fault.

    Raises:
        InvalidType: there is no list of layers.
        EngineError: a layer is not accepted.
    """
    found = config.get("layers")
    if not isinstance(found, list):
        message = f"A model config needs `layers`, a list of serialized layers, got {shown(found)}."
        raise InvalidType(message, code="missing_key", path=("config", "layers"))
    read = []
    for index, item in enumerate(found):
        try:
            read.append(_read_layer(item, conventions))
        except EngineError as error:
            raise error.at("config", "layers", index) from None
    return read


def _read_layer(item: Any, conventions: Conventions) -> Layer:
    if not isinstance(item, Mapping):
        raise InvalidType(f'A layer must be {{"class_name": ..., "config": {{...}}}}, got {shown(item)}.')
    return layers.from_config(item, conventions)


def sequential(config: Mapping[str, Any], policy: Policy, conventions: Conventions, input_shape: Shape | None) -> Graph:
    """Return the graph of a Sequential config.

    Args:
        config: ``{"name", "layers"}`` of Keras 2 or 3.
        policy: of layers that name none.
        conventions: the line of Keras.
        input_shape: used where the config gives none; batch axis included.

    Raises:
        EngineError: with the path to what is wrong.
    """
    read = read_layers(config, conventions)
    if not read:
        raise InvalidValue("A Sequential model needs at least one layer.", path=("config", "layers"))
    offset = 0
    if not isinstance(read[0], InputLayer):
        shape = read[0].batch_input_shape or _shape_of(config.get("build_input_shape")) or input_shape
        read.insert(0, InputLayer(batch_input_shape=shape, conventions=conventions))
        offset = 1
    placed = named(read, policy, offset, f"{config.get('name') or 'sequential'}/")
    calls: list[Call] = []
    for index, layer in enumerate(placed):
        try:
            calls.append(_called(layer, calls, ((index - 1, 0),) if index else ()))
        except EngineError as error:
            where = max(index - offset, 0)
            raise error.at("config", "layers", where, "config") from None
    return Graph(tuple(calls), (0,), ((len(calls) - 1, 0),))


def _shape_of(value: Any) -> Shape | None:
    return tuple(value) if isinstance(value, list) else None


def _called(
    layer: Layer, calls: Sequence[Call], sources: tuple[Output, ...], options: Mapping[str, Any] | None = None
) -> Call:
    if isinstance(layer, InputLayer):
        if sources:
            message = f"InputLayer {layer.name!r} takes no input; data enter a model in front of every other layer."
            raise InvalidValue(message, code="malformed_graph")
        return Call(layer, (), (), (layer.shape,))
    least, most = layer.arity
    if not least <= len(sources) <= most:
        wanted = (
            "one input" if most == 1 else f"{least} to {most} inputs" if most < MANY else f"at least {least} inputs"
        )
        message = f"{layer.class_name} {layer.name!r} takes {wanted}, but is called with {len(sources)}."
        raise InvalidValue(message, code="malformed_graph")
    missing = [part for call, part in sources if part >= len(calls[call].output_shapes)]
    if missing:
        message = f"{layer.class_name} {layer.name!r} takes output {missing[0]} of a call that has fewer."
        raise InvalidValue(message, code="malformed_graph")
    shapes = tuple(calls[call].output_shapes[part] for call, part in sources)
    given = layer.compute_output_shape(*shapes)
    outputs = tuple(given) if isinstance(given, list) else (given,)
    return Call(layer, sources, shapes, outputs, layer.weight_specs(*shapes), dict(options or {}))


def named(read: Sequence[Layer], policy: Policy, offset: int = 0, prefix: str = "") -> list[Layer]:
    """Return the layers with names and policies filled in; names made up as Keras does ("dense", "dense_1").

    A layer with the policy "_infer" takes the dtype in which data enters, as TF 2.4's layers do at their first call.

    Args:
        read: the layers.
        policy: of layers that name none.
        offset: how many of them stand before the first one of the config.
        prefix: what Keras puts before their names where a DTypePolicyMap looks for them.

    Raises:
        InvalidValue: two layers have one name.
    """
    taken: set[str | None] = {layer.name for layer in read if layer.name}
    counts: dict[str, int] = {}
    placed: list[Layer] = []
    for index, layer in enumerate(read):
        name = layer.name or next(_fresh(_snake(layer.class_name), counts, taken))
        own = _entering(read) if isinstance(layer, InputLayer) else policy.of_layer(prefix + name)
        if isinstance(layer.dtype, MapPolicy):
            layer = dataclasses.replace(layer, dtype=layer.dtype.of_layer(prefix + name))  # noqa: PLW2901
        done = layer.placed(name, own)
        if done.policy.compute_dtype is None:
            done = dataclasses.replace(done, dtype=_entering(read))
        placed.append(done)
        if sum(other.name == name for other in placed) > 1:
            message = f"All layers should have unique names, but {name!r} occurs twice. Rename one."
            path = ("config", "layers", index - offset, "config", "name")
            raise InvalidValue(message, code="duplicate_name", path=path)
    return placed


def _entering(read: Sequence[Layer]) -> Policy:
    """Return the policy of the dtype in which data enters a model of these layers."""
    inputs = [layer for layer in read if isinstance(layer, InputLayer)]
    return Policy(inputs[0].input_dtype.name if inputs else "float32")


def _fresh(base: str, counts: dict[str, int], taken: set[str | None]) -> Iterator[str]:
    while True:
        number = counts.get(base, 0)
        counts[base] = number + 1
        name = f"{base}_{number}" if number else base
        if name not in taken:
            yield name


def _snake(class_name: str) -> str:
    spaced = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", spaced).lower()


def functional(config: Mapping[str, Any], policy: Policy, conventions: Conventions) -> Graph:
    """Return the graph of a Functional config of Keras 2 (nested lists) or Keras 3 (``__keras_tensor__``).

    Raises:
        EngineError: with the path to what is wrong; a cycle or a reference to nothing included.
    """
    placed = named(read_layers(config, conventions), policy)
    by_name = {layer.name: layer for layer in placed}
    positions = {layer.name: index for index, layer in enumerate(placed)}
    waiting: dict[tuple[str, int], Inbound] = {}
    for index, (layer, item) in enumerate(zip(placed, config["layers"], strict=True)):
        nodes = [Inbound()] if isinstance(layer, InputLayer) else []
        for number, node in enumerate(_inbound(item, index, layer) or nodes):
            waiting[layer.name or "", number] = node
    calls: list[Call] = []
    at: dict[tuple[str, int], int] = {}
    while waiting:
        # The first that can run: so layers keep the config's order, which is the order of Keras's weights.
        key = next((key for key, node in waiting.items() if all(source[:2] in at for source in node.sources)), None)
        if key is None:
            _refuse_graph(waiting, at, positions)
        node = waiting.pop(key)
        sources = tuple((at[name, number], part) for name, number, part in node.sources)
        at[key] = len(calls)
        try:
            calls.append(_called(by_name[key[0]], calls, sources, node.options))
        except EngineError as error:
            raise error.at("config", "layers", positions[key[0]], "config") from None
    inputs = tuple(_look_up(calls, at, end, "input_layers")[0] for end in _ends(config, "input_layers"))
    _check_entries(calls, inputs)
    outputs = tuple(_look_up(calls, at, end, "output_layers") for end in _ends(config, "output_layers"))
    return Graph(tuple(calls), inputs, outputs)


def _check_entries(calls: Sequence[Call], inputs: tuple[int, ...]) -> None:
    """Check that `input_layers` names every InputLayer once, and nothing else."""
    entries = [index for index, call in enumerate(calls) if isinstance(call.layer, InputLayer)]
    if sorted(inputs) != entries:
        message = (
            f"`input_layers` must name every InputLayer once: {', '.join(str(calls[i].layer.name) for i in entries)}."
        )
        raise InvalidValue(message, code="malformed_graph", path=("config", "input_layers"))


def _refuse_graph(
    waiting: Mapping[tuple[str, int], Inbound],
    at: Mapping[tuple[str, int], int],
    positions: Mapping[str | None, int],
) -> NoReturn:
    (name, number), node = next(iter(waiting.items()))
    missing = [source for source in node.sources if source[:2] not in at and source[:2] not in waiting]
    why = f"takes the output of {missing[0]}, which does not exist" if missing else "waits for its own output"
    path = ("config", "layers", positions[name], "inbound_nodes", number)
    raise InvalidValue(f"Layer {name!r} {why}. Correct its inbound_nodes.", code="malformed_graph", path=path)


def _inbound(item: Mapping[str, Any], index: int, layer: Layer) -> list[Inbound]:
    """Return every call of a layer."""
    nodes = item.get("inbound_nodes") or []
    path = ("config", "layers", index, "inbound_nodes")
    try:
        return [_keras3_node(node, layer) if isinstance(node, Mapping) else _keras2_node(node, layer) for node in nodes]
    except EngineError as error:
        raise error.at(*path) from None
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise InvalidValue(f"Malformed inbound_nodes: {shown(nodes)}.", code="malformed_graph", path=path) from error


def _keras2_node(node: Any, layer: Layer) -> Inbound:
    entries = [node] if isinstance(node[0], str) else node
    sources = [_reference(entry) for entry in entries]
    keywords: dict[str, Any] = {}
    for entry in entries:
        found = entry[3] if len(entry) > 3 else {}
        if not isinstance(found, Mapping):
            raise InvalidValue(f"Malformed call arguments: {shown(found)}.", code="malformed_graph")
        keywords |= found
    named_tensors = {
        key: [_reference(value)] for key, value in keywords.items() if key in layer.arguments and _is_reference(value)
    }
    return _ordered(layer, sources, named_tensors, keywords)


def _keras3_node(node: Mapping[str, Any], layer: Layer) -> Inbound:
    keywords = node.get("kwargs") or {}
    if not isinstance(keywords, Mapping):
        raise InvalidValue(f"Malformed call arguments: {shown(keywords)}.", code="malformed_graph")
    sources = list(_keras_tensors(node["args"]))
    named_tensors = {
        key: list(_keras_tensors(value))
        for key, value in keywords.items()
        if key in layer.arguments and isinstance(value, Mapping | list)
    }
    return _ordered(layer, sources, named_tensors, keywords)


def _ordered(
    layer: Layer,
    sources: list[Reference],
    named_tensors: Mapping[str, list[Reference]],
    keywords: Mapping[str, Any],
) -> Inbound:
    """Return a call with tensors given by name put behind the others, in the order of the layer's arguments."""
    for name in layer.arguments:
        sources.extend(named_tensors.get(name, []))
    options = {key: value for key, value in keywords.items() if value is not None and key not in named_tensors}
    if layer.conventions.keras3:
        options.pop("training", None)  # Keras 3 records the default; what the run says decides
    unknown = {key: value for key, value in options.items() if key not in layer.options}
    if unknown:
        message = f"Call arguments {shown(unknown)} of {layer.class_name} are not supported; leave them out."
        raise Unsupported(message, code="call_arguments")
    bad = {key: value for key, value in options.items() if not isinstance(value, bool)}
    if bad:
        raise InvalidValue(f"Call arguments {shown(bad)} must be true or false.", code="call_arguments")
    return Inbound(tuple(sources), options)


def _reference(entry: Any) -> Reference:
    name, number, part = str(entry[0]), int(entry[1]), int(entry[2]) if len(entry) > 2 else 0
    if number < 0 or part < 0:
        raise InvalidValue(f"Malformed reference: {shown(entry)}.", code="malformed_graph")
    return name, number, part


def _is_reference(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str)


def _keras_tensors(value: Any) -> Iterator[Reference]:
    if isinstance(value, Mapping):
        yield _reference(value["config"]["keras_history"])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _keras_tensors(item)
    else:
        raise InvalidValue(f"Malformed call: {shown(value)} is no tensor of the model.", code="malformed_graph")


def _ends(config: Mapping[str, Any], key: str) -> list[Reference]:
    """Return the references of input_layers or output_layers, one or many."""
    found = config.get(key)
    if not isinstance(found, list) or not found:
        raise InvalidValue(f"A Functional model needs `{key}`, got {shown(found)}.", path=("config", key))
    entries = [found] if isinstance(found[0], str) else found
    try:
        return [_reference(entry) for entry in entries]
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        message = f"Malformed `{key}`: {shown(found)}; expected [name, call, tensor] entries."
        raise InvalidValue(message, code="malformed_graph", path=("config", key)) from error


def _look_up(calls: Sequence[Call], at: Mapping[tuple[str, int], int], end: Reference, key: str) -> Output:
    call = at.get(end[:2])
    if call is None or end[2] >= len(calls[call].output_shapes):
        message = f"`{key}` names {end[0]!r} (call {end[1]}, output {end[2]}), which does not exist."
        raise InvalidValue(message, code="malformed_graph", path=("config", key))
    return call, end[2]
