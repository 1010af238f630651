"""Reading a Sequential or Functional config, of Keras 2 or 3, into an outline."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any, NoReturn

from engine import layers
from engine.configured import shown, snake_case
from engine.conventions import Conventions
from engine.errors import EngineError, InvalidType, InvalidValue, Unsupported, located
from engine.graph import Node, Outline, Reference
from engine.inbound import inbound, indexed, late, reference
from engine.layers import InputLayer, Layer, Shape
from engine.layers.operations import OPERATIONS, is_operation
from engine.nested import Functional, Nested, Sequential

DEEPEST = 16
"""Models inside each other; Keras has no limit, and real models are two or three deep."""


def read_layer(item: Any, conventions: Conventions, depth: int = 0) -> Layer:
    """Return the layer, or the model used as one, that a serialized object describes.

    Args:
        item: as a model's config lists it.
        conventions: the line of Keras.
        depth: how many models it stands in, beside the outermost one.

    Raises:
        EngineError: it is not accepted; ``path`` leads to the fault.
    """
    if not isinstance(item, Mapping):
        raise InvalidType(f'A layer must be {{"class_name": ..., "config": {{...}}}}, got {shown(item)}.')
    if is_operation(item):
        cls = OPERATIONS[item["class_name"]]
        with located("config"):
            config = item.get("config", {})
            own = {key: config[key] for key in cls.settings if key in config}
            return cls.from_config({"name": config.get("name") or item.get("name"), **own}, conventions=conventions)
    refusal = operation_refusal(item)
    if refusal:
        raise Unsupported(refusal, code="unsupported_operation", path=("class_name",))
    readers = {name: partial(_nested, cls, depth=depth + 1) for name, cls in _NESTED.items()}
    layer = layers.from_config(item, conventions, models=readers)
    # A layer that names a dtype comes with a name; the model makes up the names of those that have none.
    named_by_config = isinstance(item.get("config"), Mapping) and item["config"].get("name")
    return layer if named_by_config else replace(layer, name=None)


def operation_refusal(item: Mapping[str, Any]) -> str | None:
    """Return what is wrong with an operation that stands where a layer does; None for anything else.

    Functions of ``keras.ops`` and ``tf`` on a Keras tensor become such entries of the config.
    """
    module, name = str(item.get("module") or ""), shown(item.get("class_name"))
    if not module.startswith(_OPERATIONS) and item.get("class_name") not in _TF_OPERATIONS:
        return None
    config = item.get("config")
    function = config.get("function") if isinstance(config, Mapping) else None
    what = f"{name} ({shown(function)})" if function else name
    return (
        f"The operation {what} stands in the model like a layer, which is not supported. Use the layer that does the "
        f"same (Add, Multiply, Cropping1D, Activation, Rescaling); of Keras 3, {', '.join(OPERATIONS)} are supported."
    )


def _nested(cls: type[Nested], config: Mapping[str, Any], conventions: Conventions, *, depth: int) -> Nested:
    if depth > DEEPEST:
        raise InvalidValue(f"Models stand more than {DEEPEST} deep in each other.", code="too_deep")
    read = sequential if cls is Sequential else functional
    outline = read(config, conventions, depth=depth)
    name, trainable = config.get("name"), config.get("trainable", True)
    try:
        return cls(name=name, trainable=trainable, dtype=config.get("dtype"), outline=outline, conventions=conventions)
    except EngineError as error:
        raise error.at("config") from None


_NESTED: Mapping[str, type[Nested]] = {"Sequential": Sequential, "Functional": Functional, "Model": Functional}
_OPERATIONS = ("keras.src.ops", "keras.ops")
_TF_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod")


def _read_layers(config: Mapping[str, Any], conventions: Conventions, depth: int) -> list[Layer]:
    """Return the layers of a Sequential or Functional config, in its order; errors carry the path to the fault."""
    found = config.get("layers")
    if not isinstance(found, list):
        message = f"A model config needs `layers`, a list of serialized layers, got {shown(found)}."
        raise InvalidType(message, code="missing_key", path=("config", "layers"))
    read = []
    for index, item in enumerate(found):
        try:
            read.append(read_layer(item, conventions, depth))
        except EngineError as error:
            raise error.at("config", "layers", index) from None
    return read


def sequential(
    config: Mapping[str, Any], conventions: Conventions, *, input_shape: Shape | None = None, depth: int = 0
) -> Outline:
    """Return the outline of a Sequential config.

    Args:
        config: ``{"name", "layers"}`` of Keras 2 or 3.
        conventions: the line of Keras.
        input_shape: used where the config gives none; batch axis included.
        depth: how many models it stands in; a model in a model takes its shape from there.

    Raises:
        EngineError: with the path to what is wrong.
    """
    read = _read_layers(config, conventions, depth)
    if not read:
        raise InvalidValue("A Sequential model needs at least one layer.", path=("config", "layers"))
    made_up = 0
    shape = read[0].batch_input_shape or _shape_of(config.get("build_input_shape")) or input_shape
    if not isinstance(read[0], InputLayer) and (shape is not None or not depth):
        read.insert(0, InputLayer(batch_input_shape=shape, conventions=conventions))
        made_up = 1
    members = named(read, made_up)
    names = [member.name or "" for member in members]
    nodes = [Node(names[0]), *(Node(name, sources=((before, 0, 0),)) for before, name in pairwise(names))]
    inputs = (names[0],) if isinstance(members[0], InputLayer) else ()
    for index, member in enumerate(members[1:]):
        if isinstance(member, InputLayer):
            raise late(member).at("config", "layers", index + 1 - made_up, "config")
    return Outline(tuple(members), tuple(nodes), inputs, ((names[-1], 0, 0),), made_up)


def _shape_of(value: Any) -> Shape | None:
    return tuple(value) if isinstance(value, list) else None


def named(read: Sequence[Layer], offset: int = 0) -> list[Layer]:
    """Return the layers with names filled in, made up as Keras does ("dense", "dense_1").

    Args:
        read: the layers.
        offset: how many of them stand before the first one of the config.

    Raises:
        InvalidValue: two layers have one name.
    """
    taken: set[str | None] = {layer.name for layer in read if layer.name}
    counts: dict[str, int] = {}
    placed: list[Layer] = []
    seen: set[str] = set()
    for index, layer in enumerate(read):
        name = layer.name or next(_fresh(snake_case(layer.class_name), counts, taken))
        placed.append(dataclasses.replace(layer, name=name))
        if name in seen:
            message = f"All layers should have unique names, but {name!r} occurs twice. Rename one."
            path = ("config", "layers", index - offset, "config", "name")
            raise InvalidValue(message, code="duplicate_name", path=path)
        seen.add(name)
    return placed


def _fresh(base: str, counts: dict[str, int], taken: set[str | None]) -> Iterator[str]:
    while True:
        number = counts.get(base, 0)
        counts[base] = number + 1
        name = f"{base}_{number}" if number else base
        if name not in taken:
            yield name


def functional(config: Mapping[str, Any], conventions: Conventions, *, depth: int = 0) -> Outline:
    """Return the outline of a Functional config of Keras 2 (nested lists) or Keras 3 (``__keras_tensor__``).

    Raises:
        EngineError: with the path to what is wrong; a cycle or a reference to nothing included.
    """
    members: list[Layer] = []
    waiting: dict[tuple[str, int], Node] = {}
    read = named(_read_layers(config, conventions, depth))
    for index, (plain, item) in enumerate(zip(read, config["layers"], strict=True)):
        layer = indexed(plain, item, index)
        members.append(layer)
        for number, node in enumerate(inbound(item, index, layer)):
            waiting[layer.name or "", number] = replace(node, number=number)
    ends = {key: _ends(config, key) for key in ("input_layers", "output_layers")}
    shift = _shifts(members, [*waiting.values(), Node("", sources=tuple(ends["output_layers"]))])
    ordered = tuple(_ordered_nodes(waiting, members, shift))
    there = {(node.layer, node.number) for node in ordered}
    settled = {key: tuple(_shifted(end, shift) for end in found) for key, found in ends.items()}
    for key, found in settled.items():
        _check_ends(key, found, there)
    inputs = tuple(end[0] for end in settled["input_layers"])
    _check_entries(members, inputs)
    return Outline(tuple(members), ordered, inputs, settled["output_layers"])


def _check_ends(key: str, ends: Sequence[Reference], there: Collection[tuple[str, int]]) -> None:
    for end in ends:
        if end[:2] not in there:
            message = f"`{key}` names {end[0]!r} (call {end[1]}, output {end[2]}), which does not exist."
            raise InvalidValue(message, code="malformed_graph", path=("config", key))


def _ordered_nodes(
    waiting: dict[tuple[str, int], Node], members: Sequence[Layer], shift: Mapping[str, int]
) -> Iterator[Node]:
    """Yield the calls in an order in which they can run."""
    positions = {layer.name: index for index, layer in enumerate(members)}
    waiting = {
        key: replace(node, sources=tuple(_shifted(source, shift) for source in node.sources))
        for key, node in waiting.items()
    }
    places = {key: place for place, key in enumerate(waiting)}
    keys = list(waiting)
    missing = {key: {source[:2] for source in node.sources} for key, node in waiting.items()}
    takers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for key, sources in missing.items():
        for source in sources:
            takers.setdefault(source, []).append(key)
    # The first that can run: so layers keep the config's order, which is the order of Keras's weights.
    ready = [places[key] for key in keys if not missing[key]]
    there: set[tuple[str, int]] = set()
    while ready:
        key = keys[heappop(ready)]
        there.add(key)
        for taker in takers.get(key, ()):
            missing[taker].discard(key)
            if not missing[taker]:
                heappush(ready, places[taker])
        yield waiting.pop(key)
    if waiting:
        _refuse_graph(waiting, there, positions)


def _shifts(members: Sequence[Layer], nodes: Sequence[Node]) -> Mapping[str, int]:
    """Return by how much the calls of nested models are numbered too high.

    Keras 2 counts the call that made the model as its first, but does not write it; what it writes leads to an output,
    so the first call that is written is always referred to.
    """
    used: dict[str, set[int]] = {member.name or "": set() for member in members if isinstance(member, Nested)}
    for node in nodes:
        for name, number, _ in node.sources:
            used.get(name, set()).add(number)
    return {name: 1 for name, numbers in used.items() if numbers and 0 not in numbers}


def _shifted(reference: Reference, shift: Mapping[str, int]) -> Reference:
    name, number, part = reference
    return name, number - shift.get(name, 0), part


def _check_entries(members: Sequence[Layer], inputs: tuple[str, ...]) -> None:
    """Check that `input_layers` names every InputLayer once, and nothing else."""
    entries = [member.name or "" for member in members if isinstance(member, InputLayer)]
    if sorted(inputs) != sorted(entries):
        message = f"`input_layers` must name every InputLayer once: {', '.join(entries)}."
        raise InvalidValue(message, code="malformed_graph", path=("config", "input_layers"))


def _refuse_graph(
    waiting: Mapping[tuple[str, int], Node],
    at: Collection[tuple[str, int]],
    positions: Mapping[str | None, int],
) -> NoReturn:
    (name, number), node = next(iter(waiting.items()))
    missing = [source for source in node.sources if source[:2] not in at and source[:2] not in waiting]
    why = f"takes the output of {missing[0]}, which does not exist" if missing else "waits for its own output"
    path = ("config", "layers", positions[name], "inbound_nodes", number)
    raise InvalidValue(f"Layer {name!r} {why}. Correct its inbound_nodes.", code="malformed_graph", path=path)


def _ends(config: Mapping[str, Any], key: str) -> list[Reference]:
    """Return the references of input_layers or output_layers, one or many."""
    found = config.get(key)
    if not isinstance(found, list) or not found:
        raise InvalidValue(f"A Functional model needs `{key}`, got {shown(found)}.", path=("config", key))
    entries = [found] if isinstance(found[0], str) else found
    try:
        return [reference(entry) for entry in entries]
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        message = f"Malformed `{key}`: {shown(found)}; expected [name, call, tensor] entries."
        raise InvalidValue(message, code="malformed_graph", path=("config", key)) from error
