"""G6: what built layers cast, in which dtypes they hold variables, and what their penalties are computed in."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine import layers, rounding
from engine.dtypes import DType, as_dtype
from engine.layers import LAYERS, Layer
from engine.policy import Policy
from engine.run import Run
from engine.serialization import tf24
from engine.tape import Tensor
from engine.weights import WeightSpec
from tests.golden.layers import policy_of
from tests.golden.outcome import NotBuilt, accepted

_FLOATS_ONLY = {
    "Dense": "Dense casting what is no float to its compute dtype",
    "BatchNormalization": "BatchNormalization refusing what is no float",
    "Softmax": "softmax refusing what is no float",
    "softmax": "softmax refusing what is no float",
}
"""What the engine does not do yet with integers, by layer or activation."""


class Own(Layer):
    """A layer of a user's own."""

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        return inputs[0]


class RecordingRun(Run):
    """A run that remembers which variables layers read cast."""

    cast: set[str]

    def weight(self, path: str, dtype: DType) -> Tensor:
        found = super().weight(path, dtype)
        if found.dtype is not self.variables[path].dtype:
            self.cast.add(path)
        return found


def built(class_name: str, config: dict[str, Any], policy: Policy) -> Layer:
    """Make a layer; what the engine lacks of it makes the case unsupported."""
    if class_name not in LAYERS:
        raise NotBuilt(f"layer {class_name}")
    if "autocast" in config:
        raise NotBuilt("the setting autocast")
    if policy.compute_dtype is None:
        raise NotBuilt("layers that take their dtype from the first input")
    for key, value in config.items():
        if key.endswith("_regularizer") and not hasattr(LAYERS[class_name], key):
            raise NotBuilt(f"{key} of {class_name} ({value})")
    layer = layers.from_config({"class_name": class_name, "config": {**config, "dtype": policy}})
    return layer.placed(class_name.lower(), policy)


def tensor(given: dict[str, Any]) -> Tensor:
    """An input as described, of batch size 2."""
    dtype = as_dtype(given["dtype"])
    if dtype.kind == "string":
        raise NotBuilt("strings")
    return Tensor(np.ones((2, *given.get("shape", ())), dtype.storage), dtype)


def started(specs: tuple[WeightSpec, ...], *, training: bool = False) -> RecordingRun:
    """A run over freshly initialized variables."""
    random = np.random.default_rng(0)
    arrays = {spec.path: rounding.round_to(spec.initializer(spec.shape, random), spec.dtype) for spec in specs}
    arrays = {spec.path: arrays[spec.path].astype(spec.dtype.storage) for spec in specs}
    run = RecordingRun(specs, arrays, training=training)
    run.cast = set()
    return run


def layer_dtypes(given: dict[str, Any]) -> dict[str, Any]:
    policy = policy_of(given["global_policy"] if given["layer_policy"] is None else given["layer_policy"])
    layer = built(given["layer"], given["config"], policy)
    inputs = [tensor(item) for item in given["inputs"]]
    function = given["config"].get("activation", given["layer"])
    if function in _FLOATS_ONLY and not all(item.dtype.is_floating for item in inputs):
        raise NotBuilt(_FLOATS_ONLY[function])
    specs = layer.weight_specs(*(item.shape for item in inputs))
    seen: list[str] = []
    run = started(specs)
    output = probe(layer, seen)(run, *inputs)
    return accepted(
        warnings=[],
        policy=policy.name,
        compute_dtype=policy.compute_dtype,
        dtype=policy.variable_dtype,
        variable_dtype=policy.variable_dtype,
        cast_input_dtypes=seen,
        output_dtypes=[output.dtype.name],
        variables=[
            {
                "name": spec.name,
                "dtype": spec.dtype.name,
                "trainable": spec.trainable,
                "autocast": spec.path in run.cast,
            }
            for spec in specs
        ],
        config_dtype=tf24.serialize_policy(policy),
    )


def probe(layer: Layer, seen: list[str]) -> Layer:
    """The same layer, noting the dtypes that its call gets."""

    def call(self: Layer, run: Run, *inputs: Tensor) -> Tensor:
        seen.extend(item.dtype.name for item in inputs)
        return type(layer).call(self, run, *inputs)

    cls = type(f"Probed{type(layer).__name__}", (type(layer),), {"call": call})
    fields = {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
    probed = cls(**fields)
    assert isinstance(probed, Layer)
    return probed


def layer_losses(given: dict[str, Any]) -> dict[str, Any]:
    policy = policy_of(given["policy"])
    layer = built(given["layer"], given.get("config", {}), policy)
    inputs = [tensor(item) for item in given["inputs"]]
    specs = layer.weight_specs(*(item.shape for item in inputs))
    run = started(specs)
    layer(run, *inputs)
    weights = [spec.regularizer(run.variables[spec.path]) for spec in specs if spec.regularizer is not None]
    return accepted(warnings=[], loss_dtypes=[loss.dtype.name for loss in (*run.losses, *weights)])


def autocast(given: dict[str, Any]) -> dict[str, Any]:
    policy = policy_of(given["policy"])
    if policy.compute_dtype is None or "autocast" in given or given["kwargs"]:
        raise NotBuilt("layers with autocast, inferred dtypes or keyword arguments")
    if any(not isinstance(item, dict) or item.get("kind") != "tensor" for item in given["args"]):
        raise NotBuilt("arguments other than dense tensors")
    seen: list[str] = []
    inputs = [tensor(item) for item in given["args"]]
    probe(Own(name="own", dtype=policy), seen)(started(()), *inputs)
    names = dict(zip(given["signature"], seen, strict=True))
    return accepted(warnings=[], seen=names, policy=policy.name, compute_dtype=policy.compute_dtype)


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "layer_dtypes": layer_dtypes,
    "layer_losses": layer_losses,
    "autocast": autocast,
}
