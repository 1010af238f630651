"""The calls of layers in a Functional config, as Keras 2 (nested lists) and Keras 3 (args, kwargs) write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.configured import shown
from engine.errors import EngineError, InvalidValue, Unsupported
from engine.graph import Node, Reference
from engine.layers import InputLayer, Layer, indexing
from engine.layers.operations import GetItem, Operation


def indexed(layer: Layer, item: Mapping[str, Any], position: int) -> Layer:
    """Return a GetItem with the index that its call names; another layer as it is."""
    nodes = item.get("inbound_nodes")
    if not isinstance(layer, GetItem) or not nodes:
        return layer
    path = ("config", "layers", position, "inbound_nodes", 0)
    try:
        (call,) = nodes
        _, key = call["args"]
        return replace(layer, key=indexing.read(key))
    except EngineError as error:
        raise error.at(*path) from None
    except (TypeError, ValueError, KeyError) as error:
        text = f"Malformed call: {shown(nodes)}. An index is taken once, of a tensor and with a key."
        raise InvalidValue(text, code="malformed_graph", path=path) from error


def inbound(item: Mapping[str, Any], index: int, layer: Layer) -> list[Node]:
    """Return every call of a layer; data enter at an InputLayer once."""
    nodes = item.get("inbound_nodes") or []
    path: tuple[str | int, ...] = ("config", "layers", index, "inbound_nodes")
    if isinstance(layer, InputLayer):
        if nodes:
            raise late(layer).at(*path[:-1], "config")
        return [Node(layer.name or "")]
    try:
        return [_keras3_node(node, layer) if isinstance(node, Mapping) else _keras2_node(node, layer) for node in nodes]
    except EngineError as error:
        raise error.at(*path) from None
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise InvalidValue(f"Malformed inbound_nodes: {shown(nodes)}.", code="malformed_graph", path=path) from error


def late(layer: InputLayer) -> InvalidValue:
    """Return what is wrong with an InputLayer behind other layers."""
    message = f"InputLayer {layer.name!r} takes no input; data enter a model in front of every other layer."
    return InvalidValue(message, code="malformed_graph")


def _keras2_node(node: Any, layer: Layer) -> Node:
    entries = [node] if isinstance(node[0], str) else node
    sources = [reference(entry) for entry in entries]
    keywords: dict[str, Any] = {}
    for entry in entries:
        found = entry[3] if len(entry) > 3 else {}
        if not isinstance(found, Mapping):
            raise InvalidValue(f"Malformed call arguments: {shown(found)}.", code="malformed_graph")
        keywords |= found
    named_tensors = {
        key: [reference(value)] for key, value in keywords.items() if key in layer.arguments and _is_reference(value)
    }
    return _ordered(layer, sources, named_tensors, keywords)


def _keras3_node(node: Mapping[str, Any], layer: Layer) -> Node:
    keywords = node.get("kwargs") or {}
    if not isinstance(keywords, Mapping):
        raise InvalidValue(f"Malformed call arguments: {shown(keywords)}.", code="malformed_graph")
    if isinstance(layer, GetItem):
        if keywords:
            raise InvalidValue(f"Malformed call arguments: {shown(keywords)}.", code="malformed_graph")
        return _operation_node(node["args"][:1], layer)
    if isinstance(layer, Operation):
        return _operation_node([*node["args"], *(keywords[key] for key in _OPERANDS if key in keywords)], layer)
    mask = keywords.get("mask")
    if isinstance(mask, Mapping):
        found = _ordered_call(node, layer, {key: value for key, value in keywords.items() if key != "mask"})
        return replace(found, sources=(*found.sources, *_keras_tensors(mask)), masked=True)
    return _ordered_call(node, layer, keywords)


_OPERANDS = ("x", "x1", "x2")


def _operation_node(arguments: Sequence[Any], layer: Layer) -> Node:
    """Return the call of an operation, whose arguments are tensors and numbers."""
    numbers = [(place, item) for place, item in enumerate(arguments) if isinstance(item, int | float)]
    sources = [source for item in arguments if not isinstance(item, int | float) for source in _keras_tensors(item)]
    return Node(layer.name or "", 0, tuple(sources), {"constants": tuple(numbers)} if numbers else {})


def _ordered_call(node: Mapping[str, Any], layer: Layer, keywords: Mapping[str, Any]) -> Node:
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
) -> Node:
    """Return a call with tensors given by name put behind the others, in the order of the layer's arguments."""
    for name in layer.arguments:
        sources.extend(named_tensors.get(name, []))
    options = {key: value for key, value in keywords.items() if not _absent(value) and key not in named_tensors}
    if layer.conventions.keras3:
        options.pop("training", None)  # Keras 3 records the default; what the run says decides
    unknown = {key: value for key, value in options.items() if key not in layer.options}
    if unknown:
        message = f"Call arguments {shown(unknown)} of {layer.class_name} are not supported; leave them out."
        raise Unsupported(message, code="call_arguments")
    bad = {key: value for key, value in options.items() if not isinstance(value, bool)}
    if bad:
        raise InvalidValue(f"Call arguments {shown(bad)} must be true or false.", code="call_arguments")
    return Node(layer.name or "", 0, tuple(sources), options)


def _absent(value: Any) -> bool:
    """Whether an argument was left out; Keras 3 writes the mask of several inputs as a list of nulls."""
    return value is None or (isinstance(value, list) and bool(value) and all(item is None for item in value))


def reference(entry: Any) -> Reference:
    """Return what ``[name, call, tensor]`` refers to.

    Raises:
        InvalidValue: a number is negative.
        TypeError, ValueError, IndexError, OverflowError: it is no such entry.
    """
    name, number, part = str(entry[0]), int(entry[1]), int(entry[2]) if len(entry) > 2 else 0
    if number < 0 or part < 0:
        raise InvalidValue(f"Malformed reference: {shown(entry)}.", code="malformed_graph")
    return name, number, part


def _is_reference(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str)


def _keras_tensors(value: Any) -> Iterator[Reference]:
    if isinstance(value, Mapping):
        yield reference(value["config"]["keras_history"])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _keras_tensors(item)
    else:
        raise InvalidValue(f"Malformed call: {shown(value)} is no tensor of the model.", code="malformed_graph")
