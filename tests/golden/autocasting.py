"""G6, G7: which arguments of a call are cast, and to what."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from engine.conventions import KERAS3
from engine.dtypes import as_dtype
from engine.layers.entering import as_tensors, leaves
from engine.policy import Policy
from engine.run import Run
from engine.tape import Tensor
from tests.golden.calls import Own, started, tensor
from tests.golden.layers import policy_of
from tests.golden.outcome import accepted


class Variable:
    """Stands for a variable that is passed as an argument."""

    def __init__(self, dtype: str) -> None:
        self.dtype = as_dtype(dtype)


class Recording(Own):
    """A layer of a user's own that shows what it was called with."""

    def call(self, run: Run, *inputs: Any, **keywords: Any) -> Any:
        return [label(item) for item in inputs], {key: label(value) for key, value in keywords.items()}


class Merging(Recording):
    """The same, whose first argument is a list."""

    merges: ClassVar[bool] = True


_PYTHON: Mapping[str, Any] = {"float": 1.0, "int": 1, "bool": True}


def value_of(given: Any) -> Any:
    """The argument that an input describes; sparse and ragged tensors are cast like dense ones."""
    if isinstance(given, list):
        return [value_of(item) for item in given]
    if given is None or "kind" not in given:
        return given and {key: value_of(item) for key, item in given.items()}
    if given["kind"] == "python":
        return _PYTHON[given["dtype"]]
    if given["kind"] == "numpy":
        return np.ones(2, as_dtype(given["dtype"]).edge)
    return Variable(given["dtype"]) if given["kind"] == "variable" else tensor(given)


def label(value: Any) -> Any:
    if isinstance(value, list):
        return [label(item) for item in value]
    if isinstance(value, dict):
        return {key: label(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return str(value.dtype)
    return value.dtype.name if isinstance(value, Tensor | Variable) else f"python:{type(value).__name__}"


def autocast(given: dict[str, Any]) -> dict[str, Any]:
    names = given["signature"]
    arguments = dict(zip(names, map(value_of, given["args"]), strict=False))
    arguments |= {key: value_of(item) for key, item in given["kwargs"].items()}
    first = as_tensors(arguments.pop(names[0]), as_dtype("float32"))
    several = isinstance(first, list | dict)
    kind = Merging if several else Recording
    layer = kind(name="own", dtype=policy_of(given["policy"]), autocast=given.get("autocast", True))
    mask = {"mask": label(arguments.pop("mask", None))} if "mask" in names else {}
    inputs = list(leaves(first))
    shown, others = layer(started(()), *inputs, **arguments)
    seen = {names[0]: _as(first, iter(shown)) if several else shown[0], **others, **mask}
    policy = layer.settled(first).policy
    return accepted(warnings=[], seen=seen, policy=policy.name, compute_dtype=policy.compute_dtype)


def _as(structure: Any, labels: Any) -> Any:
    """The labels in the nesting of a structure."""
    if isinstance(structure, list):
        return [_as(item, labels) for item in structure]
    if isinstance(structure, dict):
        return {key: _as(structure[key], labels) for key in sorted(structure)}
    return next(labels)


def autocast_calls(given: dict[str, Any]) -> dict[str, Any]:
    layer = Recording(name="own", dtype=policy_of(given["policy"]))
    calls = []
    for dtype in given["calls"]:
        argument = tensor({"dtype": dtype})
        shown, _ = layer(started(()), argument)
        layer = layer.settled(argument)
        calls.append({"seen": shown[0], "policy": layer.policy.name})
    return accepted(warnings=[], calls=calls)


def k3_autocast(given: dict[str, Any]) -> dict[str, Any]:
    policy = Policy(given["policy"])
    layer = Recording(name="own", dtype=policy, autocast=given["autocast"], conventions=KERAS3)
    inputs = [tensor({"dtype": given["a"]})]
    other = None if given["b"] is None else tensor({"dtype": given["b"]})
    if other is None or given["b_by_name"]:
        shown, others = layer(started(()), *inputs, b=other)
        return accepted(seen={"a": shown[0], "b": None if other is None else others["b"]})
    shown, _ = layer(started(()), *inputs, other)
    return accepted(seen={"a": shown[0], "b": shown[1]})


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "autocast": autocast,
    "autocast_calls": autocast_calls,
    "k3_autocast": k3_autocast,
}
