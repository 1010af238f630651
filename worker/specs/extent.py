"""How large the graph of a model is, counted in its config before anything is built.

A model that calls a model twice, which calls a model twice, and so on, has 2 to the power of its depth calls, out of a
few kilobytes. Integers count them in the time that it takes to read the config once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.layers import InputLayer


@dataclass(frozen=True)
class Extent:
    """The size of a graph.

    Attributes:
        layers: that the config lists, those of models and wrappers in it included, each once.
        calls: of layers, those of models in it at each call of the model.
        tensors: that the calls take, and that the model gives, likewise.
    """

    layers: int = 0
    calls: int = 0
    tensors: int = 0

    def __add__(self, other: Extent) -> Extent:
        return Extent(self.layers + other.layers, self.calls + other.calls, self.tensors + other.tensors)


_ONE = Extent(layers=1, calls=1)
_INSIDE = ("layer", "backward_layer")
"""Keys of a wrapper's config that hold layers."""


def extent_of(model: Mapping[str, Any]) -> Extent:
    """Return the size of a model.

    Args:
        model: `{"class_name", "config"}` of the shape that `worker.specs.model` holds; nested models as layers.
    """
    config = model["config"]
    graph = model["class_name"] != "Sequential"
    ends = sum(_references(config[key]) for key in ("input_layers", "output_layers") if graph)
    return sum((_member(item, graph) for item in config["layers"]), Extent(tensors=ends))


def _member(item: Mapping[str, Any], graph: bool) -> Extent:
    """Return what a layer of a model adds to it.

    Args:
        item: the layer.
        graph: whether the model says how it is called; in a stack each layer is called once.
    """
    own = _layer(item)
    if not graph or item["class_name"] == InputLayer.__name__:
        return own + Extent(tensors=1)
    nodes = item.get("inbound_nodes") or ()
    taken = sum(map(_tensors, nodes))
    return Extent(own.layers, own.calls * len(nodes), own.tensors * len(nodes) + taken)


def _layer(item: Mapping[str, Any]) -> Extent:
    """Return the size of one call of a layer, and of what it has inside."""
    config = item.get("config") or {}
    if "layers" in config:
        return Extent(layers=1) + extent_of(item)
    inside = [config[key] for key in _INSIDE if isinstance(config.get(key), Mapping)]
    return sum(map(_layer, inside), _ONE)


def _tensors(node: Any) -> int:
    """Return how many tensors a call takes: of Keras 3 those in its arguments, else references in a list."""
    if isinstance(node, Mapping):
        return _leaves([node.get("args"), *_values(node.get("kwargs"))])
    return _references(node)


def _values(keywords: Any) -> list[Any]:
    return list(keywords.values()) if isinstance(keywords, Mapping) else []


def _references(value: Any) -> int:
    """Return the length of a list of references; one alone begins with a name."""
    return len(value) if isinstance(value, list | tuple) and value and not isinstance(value[0], str) else 1


def _leaves(value: Any) -> int:
    waiting, count = [value], 0
    while waiting:
        item = waiting.pop()
        if isinstance(item, list | tuple):
            waiting.extend(item)
        else:
            count += 1
    return count
