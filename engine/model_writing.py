"""The config of a model, in the spelling of a line of Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine import layers
from engine.conventions import Conventions
from engine.graph import Graph, Node, Outline, Reference
from engine.layers import Layer
from engine.layers.multi_head_attention import MultiHeadAttention, Projected
from engine.layers.operations import Operation


def written(class_name: str, name: str, outline: Outline, graph: Graph, conventions: Conventions) -> dict[str, Any]:
    """Return what ``get_config`` returns.

    Args:
        class_name: "Sequential" or "Functional".
        name: of the model.
        outline: of the model.
        graph: of the model; its places tell the shapes and dtypes that Keras 3 writes.
        conventions: the line of Keras.
    """
    shown = [_built(member, graph) for member in outline.in_order]
    items = {member.name or "": layers.serialize(member, conventions) for member in shown}
    if class_name == "Sequential":
        return {"name": name, "layers": list(items.values())}
    writer = _Writer({member.name or "": member for member in outline.members}, graph, conventions)
    for key, item in items.items():
        item["name"] = key
        nodes = [node for node in outline.nodes if node.layer == key and node.sources]
        item["inbound_nodes"] = [writer.node(node) for node in nodes]
    entries = writer.ends([(key, 0, 0) for key in outline.inputs])
    ends = writer.ends(outline.outputs)
    return {"name": name, "layers": list(items.values()), "input_layers": entries, "output_layers": ends}


def _built(member: Layer, graph: Graph) -> Layer:
    """Return a layer with the shapes that its config shows once it is built."""
    shapes = next((call.input_shapes for call in graph.calls if call.layer.name == member.name), ())
    return member.built(*shapes) if isinstance(member, MultiHeadAttention) and shapes else member


class _Writer:
    """Writes calls.

    Args:
        members: the layers of the model by name.
        graph: of the model.
        conventions: the line of Keras.
    """

    def __init__(self, members: Mapping[str, Layer], graph: Graph, conventions: Conventions) -> None:
        self._members, self._graph, self._conventions = members, graph, conventions

    def reference(self, source: Reference) -> list[Any]:
        """Return what the config calls an output."""
        name, number, part = source
        first = 0 if self._conventions.keras3 else self._members[name].first_call
        return [name, number + first, part]

    def ends(self, references: Sequence[Reference]) -> list[Any]:
        """Return the inputs or outputs of the model; Keras 3 takes a list of one for a model that returns a list."""
        found = [self.reference(reference) for reference in references]
        return found[0] if self._conventions.keras3 and len(found) == 1 else found

    def node(self, node: Node) -> Any:
        """Return what the config says of a call."""
        options = dict(node.options)
        if not self._conventions.keras3:
            return self._keras2_node(node, options)
        tensors: list[Any] = [self._tensor(source) for source in node.sources]
        if node.masked:
            options["mask"] = tensors.pop()
        for place, number in options.pop("constants", ()):
            tensors.insert(place, number)
        member = self._members[node.layer]
        tensors += member.further_arguments if isinstance(member, Operation) else ()
        return {"args": [tensors] if member.merges else tensors, "kwargs": options}

    def _keras2_node(self, node: Node, options: Mapping[str, Any]) -> list[Any]:
        sources, member = node.sources, self._members[node.layer]
        named: dict[str, Any] = {}
        if isinstance(member, Projected):  # takes no list of tensors: all but the first are given by name
            named = {
                key: self.reference(source) for key, source in zip(member.arguments[1:], sources[1:], strict=False)
            }
            sources = sources[:1]
        return [
            [*self.reference(source), {**options, **named} if index == 0 else {}]
            for index, source in enumerate(sources)
        ]

    def _tensor(self, source: Reference) -> dict[str, Any]:
        output = self._graph.places[source[:2]][source[2]]
        return {
            "class_name": "__keras_tensor__",
            "config": {
                "shape": list(self._graph.shape(output)),
                "dtype": _dtype_of(self._graph.calls[output[0]].layer),
                "keras_history": self.reference(source),
            },
        }


def _dtype_of(layer: Layer) -> str | None:
    """Return the dtype that Keras 3 writes of an output: that of the layer's policy, or what a comparison gives."""
    return "bool" if isinstance(layer, Operation) and layer.compares else layer.policy.compute_dtype
