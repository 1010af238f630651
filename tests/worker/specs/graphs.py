"""Model configs of any size, for tests of what they cost."""

from collections.abc import Callable
from typing import Any


def entry(name: str) -> dict[str, Any]:
    """Return an InputLayer of 8 numbers."""
    config = {"name": name, "batch_input_shape": [None, 8], "dtype": "float32"}
    return {"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []}


def dense(name: str, *calls: str) -> dict[str, Any]:
    """Return a Dense layer that is called on the outputs of these layers, one after the other."""
    nodes = [[[source, 0, 0, {}]] for source in calls]
    return {"class_name": "Dense", "name": name, "config": {"name": name, "units": 8}, "inbound_nodes": nodes}


def functional(layers: list[Any], inputs: list[Any], outputs: list[Any], name: str = "m") -> dict[str, Any]:
    """Return a Functional model."""
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def chain(count: int) -> dict[str, Any]:
    """Layers behind each other, listed from the last to the first."""
    layers = [dense(f"d{index}", f"d{index - 1}" if index else "i") for index in range(count)]
    return functional([*reversed(layers), entry("i")], [["i", 0, 0]], [[f"d{count - 1}", 0, 0]])


def outputs(count: int) -> dict[str, Any]:
    """One output, given many times."""
    return functional([entry("i"), dense("d", "i")], [["i", 0, 0]], [["d", 0, 0]] * count)


def inputs(count: int) -> dict[str, Any]:
    """Many inputs, added up."""
    names = [f"i{index}" for index in range(count)]
    ends = [[name, 0, 0] for name in names]
    nodes = [[[*end, {}] for end in ends]]
    add = {"class_name": "Add", "name": "a", "config": {"name": "a"}, "inbound_nodes": nodes}
    return functional([*map(entry, names), add], ends, [["a", 0, 0]])


def shared(count: int) -> dict[str, Any]:
    """One layer, called on its own output again and again."""
    nodes = [[["d" if index else "i", max(index - 1, 0), 0, {}]] for index in range(count)]
    layer = {**dense("d"), "inbound_nodes": nodes}
    return functional([entry("i"), layer], [["i", 0, 0]], [["d", count - 1, 0]])


def stacked(count: int) -> dict[str, Any]:
    """A stack of models of one layer."""
    layers = [{"class_name": "Dense", "config": {"name": "d", "units": 8}}]
    stacks = [{"class_name": "Sequential", "config": {"name": f"s{i}", "layers": layers}} for i in range(count)]
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [entry("i"), *stacks]}}


def doubled(depth: int) -> dict[str, Any]:
    """A model that calls a model twice, which calls a model twice, and so on: 2**depth calls of the innermost layer."""
    model = functional([entry("i0"), dense("d", "i0")], [["i0", 0, 0]], [["d", 0, 0]], "m0")
    for level in range(1, depth + 1):
        name, below = f"i{level}", f"m{level - 1}"
        twice = {**model, "name": below, "inbound_nodes": [[[name, 0, 0, {}]], [[below, 1, 0, {}]]]}
        model = functional([entry(name), twice], [[name, 0, 0]], [[below, 2, 0]], f"m{level}")
    return model


def each_step(depth: int) -> dict[str, Any]:
    """Models in TimeDistributed in models: a wrapper asks its layer for its shape and for its weights."""
    inner: dict[str, Any] = {"class_name": "Dense", "config": {"name": "d", "units": 4}}
    for level in range(depth):
        wrapper = {"class_name": "TimeDistributed", "config": {"name": f"t{level}", "layer": inner}}
        inner = {"class_name": "Sequential", "config": {"name": f"s{level}", "layers": [wrapper]}}
    shape = [None, *[1] * depth, 4]
    first = {"class_name": "InputLayer", "config": {"name": "i", "batch_input_shape": shape}}
    inner["config"]["layers"].insert(0, first)
    return inner


GROWING: dict[str, Callable[[int], dict[str, Any]]] = {
    "chain": chain,
    "outputs": outputs,
    "inputs": inputs,
    "shared": shared,
    "stacked": stacked,
}
