"""Where the variables of a network lie in an HDF5 file of Keras 3.

Groups are numbered by class in the order of a model's layers (`layers/dense`, `layers/dense_1`), not called after the
layers' names; inside a group the variables are `vars/0`, `vars/1`. Layers in layers have groups of their own.
SOURCE: `keras.src.saving.saving_lib` of Keras 3.15.1 (`_save_state`, `_save_container_state`).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from engine.graph import Outline
from engine.layers import InputLayer, Layer
from engine.layers.multi_head_attention import Projected
from engine.layers.recurrent import Recurrent
from engine.layers.wrappers import Bidirectional, TimeDistributed
from engine.nested import Nested
from engine.network import Network
from engine.weights import WeightSpec


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a file.

    Attributes:
        place: path of the group, such as "layers/lstm/cell"; empty for the model itself.
        name: name of the layer, which Keras notes there.
        specs: its variables in order.
    """

    place: str
    name: str
    specs: tuple[WeightSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """Something in a layer that has a group of its own.

    Attributes:
        scope: below which path of the layer the engine has its variables; empty for the layer's own.
        place: the group, below the layer's.
        name: noted there.
        layer: the layer that it is, if it is one.
    """

    scope: str
    place: str
    name: str
    layer: Layer | None = None


_CLASSES: Mapping[str, str] = MappingProxyType({"GroupQueryAttention": "GroupedQueryAttention"})
"""Keras's own names of classes that it exports under another one."""


def snake_case(class_name: str) -> str:
    """Return a class name as Keras's groups spell it: "Conv2DTranspose" is "conv2d_transpose"."""
    name = re.sub(r"\W+", "", _CLASSES.get(class_name, class_name))
    spaced = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", spaced).lower()


def groups_of(network: Network) -> tuple[Group, ...]:
    """Return every group of a network's file, the model's own first."""
    by_scope: dict[str, list[WeightSpec]] = {}
    for spec in network.weight_specs:
        by_scope.setdefault(spec.path.rpartition("/")[0], []).append(spec)
    for specs in by_scope.values():
        specs.sort(key=lambda spec: spec.overwritten)  # the scales of float8 are made first and saved last
    own = Group("", network.name)
    return (own, *_in_model(_counted(network.class_name, network.outline), "", "", by_scope))


def _counted(class_name: str, outline: Outline) -> list[Layer]:
    """Return the layers that Keras counts: those of a Sequential model are without its input."""
    sequential = class_name == "Sequential"
    return [layer for layer in outline.in_order if not (sequential and isinstance(layer, InputLayer))]


def _in_model(
    layers: Sequence[Layer], scope: str, place: str, by_scope: Mapping[str, list[WeightSpec]]
) -> Iterator[Group]:
    counts: dict[str, int] = {}
    for layer in layers:
        base = snake_case(layer.class_name)
        number = counts.get(base, 0)
        counts[base] = number + 1
        name = f"{base}_{number}" if number else base
        yield from _in_layer(layer, f"{scope}{layer.name}", f"{place}layers/{name}", by_scope)


def _in_layer(layer: Layer, scope: str, place: str, by_scope: Mapping[str, list[WeightSpec]]) -> Iterator[Group]:
    if isinstance(layer, Nested):
        yield Group(place, (layer.name or "").rpartition("/")[2])
        yield from _in_model(_counted(layer.class_name, layer.outline), f"{scope}/", f"{place}/", by_scope)
        return
    parts = next((parts(layer) for kind, parts in _PARTS if isinstance(layer, kind)), ())
    taken = {part.scope for part in parts}
    yield Group(place, (layer.name or "").rpartition("/")[2], () if "" in taken else tuple(by_scope.get(scope, ())))
    for part in parts:
        below = f"{scope}/{part.scope}" if part.scope else scope
        if part.layer is not None:
            yield from _in_layer(part.layer, below, f"{place}/{part.place}", by_scope)
        else:
            yield Group(f"{place}/{part.place}", part.name, tuple(by_scope.get(below, ())))


def _cell(layer: Layer) -> tuple[_Part, ...]:
    return (_Part("", "cell", f"{snake_case(layer.class_name)}_cell"),)


def _projections(layer: Layer) -> tuple[_Part, ...]:
    # Grouped attention keeps them in private attributes.
    mark = "" if layer.class_name == "MultiHeadAttention" else "_"
    names = {"query": "query_dense", "key": "key_dense", "value": "value_dense", "attention_output": "output_dense"}
    return tuple(_Part(scope, f"{mark}{place}", scope) for scope, place in names.items())


def _both_ways(layer: Layer) -> tuple[_Part, ...]:
    assert isinstance(layer, Bidirectional), "see the table below"
    assert layer.backward_layer is not None, "made when the layer is"
    inner = {"forward_layer": layer.layer, "backward_layer": layer.backward_layer}
    return tuple(_Part(one.name or "", place, one.name or "", one) for place, one in inner.items())


def _wrapped(layer: Layer) -> tuple[_Part, ...]:
    assert isinstance(layer, TimeDistributed), "see the table below"
    return (_Part(layer.layer.name or "", "layer", layer.layer.name or "", layer.layer),)


_PARTS: tuple[tuple[type[Layer], Callable[[Layer], tuple[_Part, ...]]], ...] = (
    (Recurrent, _cell),
    (Projected, _projections),
    (Bidirectional, _both_ways),
    (TimeDistributed, _wrapped),
)
"""What layers of these kinds are made of."""
