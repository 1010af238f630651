"""Reading a Sequential or Functional config into a list of layer calls, in an order in which they can run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine import layers
from engine.configured import shown
from engine.conventions import Conventions
from engine.errors import EngineError, InvalidType, InvalidValue, Unsupported
from engine.layers import InputLayer, Layer, Shape
from engine.policy import Policy
from engine.weights import WeightSpec


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a layer.

    Attributes:
        layer: whose call it is; shared layers have several.
        sources: indices of the calls whose outputs it takes; empty for an InputLayer.
        input_shapes: shapes of what it takes, batch axis first.
        output_shape: shape of what it gives.
        weights: the variables of the layer.
    """

    layer: Layer
    sources: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    weights: tuple[WeightSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """Calls in an order in which each comes after its sources; which of them are inputs and outputs."""

    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


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
    placed = named(read, policy, offset)
    calls: list[Call] = []
    for index, layer in enumerate(placed):
        try:
            calls.append(_called(layer, calls, (index - 1,) if index else ()))
        except EngineError as error:
            where = max(index - offset, 0)
            raise error.at("config", "layers", where, "config") from None
    return Graph(tuple(calls), (0,), (len(calls) - 1,))


def _shape_of(value: Any) -> Shape | None:
    return tuple(value) if isinstance(value, list) else None


def _called(layer: Layer, calls: Sequence[Call], sources: tuple[int, ...]) -> Call:
    if isinstance(layer, InputLayer):
        if sources:
            message = f"InputLayer {layer.name!r} takes no input; data enter a model in front of every other layer."
            raise InvalidValue(message, code="malformed_graph")
        return Call(layer, (), (), layer.shape)
    if not sources or (len(sources) > 1 and not layer.merges):
        wanted = "at least one input" if layer.merges else "one input"
        message = f"{layer.class_name} {layer.name!r} takes {wanted}, but is called with {len(sources)}."
        raise InvalidValue(message, code="malformed_graph")
    shapes = tuple(calls[source].output_shape for source in sources)
    return Call(layer, sources, shapes, layer.compute_output_shape(*shapes), layer.weight_specs(*shapes))


def named(read: Sequence[Layer], policy: Policy, offset: int = 0) -> list[Layer]:
    """Return the layers with names and policies filled in; names made up as Keras does ("dense", "dense_1").

    A layer with the policy "_infer" takes the dtype in which data enters, as TF 2.4's layers do at their first call.

    Args:
        read: the layers.
        policy: of layers that name none.
        offset: how many of them stand before the first one of the config.

    Raises:
        InvalidValue: two layers have one name.
    """
    taken: set[str | None] = {layer.name for layer in read if layer.name}
    counts: dict[str, int] = {}
    placed: list[Layer] = []
    for index, layer in enumerate(read):
        name = layer.name or next(_fresh(_snake(layer.class_name), counts, taken))
        own = _entering(read) if isinstance(layer, InputLayer) else policy
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
    waiting: dict[tuple[str, int], tuple[tuple[str, int], ...]] = {}
    for index, (layer, item) in enumerate(zip(placed, config["layers"], strict=True)):
        for number, sources in enumerate(_inbound(item, index)):
            waiting[layer.name or "", number] = sources
        if isinstance(layer, InputLayer):
            waiting[layer.name or "", 0] = ()
    calls: list[Call] = []
    at: dict[tuple[str, int], int] = {}
    positions = {layer.name: index for index, layer in enumerate(placed)}
    while waiting:
        ready = [key for key, sources in waiting.items() if all(source in at for source in sources)]
        if not ready:
            _refuse_graph(waiting, at, positions)
        for key in ready:
            taken = tuple(at[source] for source in waiting.pop(key))
            at[key] = len(calls)
            try:
                calls.append(_called(by_name[key[0]], calls, taken))
            except EngineError as error:
                raise error.at("config", "layers", positions[key[0]], "config") from None
    inputs = tuple(_look_up(at, end, "input_layers") for end in _ends(config, "input_layers"))
    _check_entries(calls, inputs)
    outputs = tuple(_look_up(at, end, "output_layers") for end in _ends(config, "output_layers"))
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
    waiting: Mapping[tuple[str, int], Any], at: Mapping[tuple[str, int], int], positions: Mapping[str | None, int]
) -> None:
    (name, number), sources = next(iter(waiting.items()))
    missing = [source for source in sources if source not in at and source not in waiting]
    why = f"takes the output of {missing[0]}, which does not exist" if missing else "waits for its own output"
    path = ("config", "layers", positions[name], "inbound_nodes", number)
    raise InvalidValue(f"Layer {name!r} {why}. Correct its inbound_nodes.", code="malformed_graph", path=path)


def _inbound(item: Mapping[str, Any], index: int) -> list[tuple[tuple[str, int], ...]]:
    """Return the sources of every call of a layer, as (layer name, number of its call)."""
    nodes = item.get("inbound_nodes") or []
    path = ("config", "layers", index, "inbound_nodes")
    try:
        return [_keras3_node(node) if isinstance(node, Mapping) else _keras2_node(node) for node in nodes]
    except EngineError as error:
        raise error.at(*path) from None
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise InvalidValue(f"Malformed inbound_nodes: {shown(nodes)}.", code="malformed_graph", path=path) from error


def _keras2_node(node: Any) -> tuple[tuple[str, int], ...]:
    entries = [node] if isinstance(node[0], str) else node
    for entry in entries:
        _refuse_keywords(entry[3] if len(entry) > 3 else {})
    return tuple((str(entry[0]), int(entry[1])) for entry in entries)


def _keras3_node(node: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    _refuse_keywords(node.get("kwargs") or {})
    return tuple(_keras_tensors(node["args"]))


def _keras_tensors(value: Any) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping):
        history = value["config"]["keras_history"]
        yield str(history[0]), int(history[1])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _keras_tensors(item)
    else:
        raise InvalidValue(f"Malformed call: {shown(value)} is no tensor of the model.", code="malformed_graph")


def _refuse_keywords(keywords: Any) -> None:
    if not isinstance(keywords, Mapping):
        raise InvalidValue(f"Malformed call arguments: {shown(keywords)}.", code="malformed_graph")
    given = {key: value for key, value in keywords.items() if value is not None}
    if given:
        raise Unsupported(f"Call arguments {shown(given)} are not supported; leave them out.", code="call_arguments")


def _ends(config: Mapping[str, Any], key: str) -> list[tuple[str, int]]:
    """Return the (layer name, call number) pairs of input_layers or output_layers, one or many."""
    found = config.get(key)
    if not isinstance(found, list) or not found:
        raise InvalidValue(f"A Functional model needs `{key}`, got {shown(found)}.", path=("config", key))
    entries = [found] if isinstance(found[0], str) else found
    try:
        return [(str(entry[0]), int(entry[1])) for entry in entries]
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        message = f"Malformed `{key}`: {shown(found)}; expected [name, call, tensor] entries."
        raise InvalidValue(message, code="malformed_graph", path=("config", key)) from error


def _look_up(at: Mapping[tuple[str, int], int], end: tuple[str, int], key: str) -> int:
    if end not in at:
        message = f"`{key}` names {end[0]!r} (call {end[1]}), which does not exist."
        raise InvalidValue(message, code="malformed_graph", path=("config", key))
    return at[end]
