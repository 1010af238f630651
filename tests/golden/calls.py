"""G6: what built layers cast, in which dtypes they hold variables, and what their penalties are computed in."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine import initializers, layers, ops, rounding, weights
from engine.conventions import KERAS3, TF24, Conventions
from engine.dtypes import DType, as_dtype
from engine.layers import LAYERS, Layer
from engine.layers.base import casts_itself
from engine.layers.merging import Multiply
from engine.policy import Policy
from engine.run import Run
from engine.serialization import tf24
from engine.tape import Tensor
from engine.weights import WeightSpec
from tests.golden.layers import policy_of
from tests.golden.outcome import NotBuilt, accepted


class Own(Layer):
    """A layer of a user's own."""

    def call(self, run: Run, *inputs: Tensor, **keywords: Any) -> Any:
        return list(inputs)


class AddsLosses(Own):
    """A layer that adds two penalties: the sum of its inputs, and a number."""

    def call(self, run: Run, *inputs: Tensor, **keywords: Any) -> Any:
        run.add_loss(ops.reduce_sum(inputs[0]))
        run.add_loss(1.5)
        return inputs[0]


OWN = {"own layer: add_loss(sum(inputs)), add_loss(1.5)": AddsLosses}


class RecordingRun(Run):
    """A run that remembers which variables layers read cast."""

    cast: set[str]

    def weight(self, path: str, dtype: DType) -> Tensor:
        found = super().weight(path, dtype)
        if found.dtype is not self.variables[path].dtype:
            self.cast.add(path)
        return found


def built(class_name: str, config: dict[str, Any], policy: Policy, conventions: Conventions = TF24) -> Layer:
    """Make a layer; what the engine lacks of it makes the case unsupported."""
    if class_name in OWN:
        return OWN[class_name](name="own", dtype=policy)
    if class_name not in LAYERS:
        raise NotBuilt(f"layer {class_name}")
    for key, value in config.items():
        if key.endswith("_regularizer") and not hasattr(LAYERS[class_name], key):
            raise NotBuilt(f"{key} of {class_name} ({value})")
    layer = layers.from_config({"class_name": class_name, "config": {**config, "dtype": policy}}, conventions)
    return layer.placed(class_name.lower(), policy)


def tensor(given: dict[str, Any]) -> Tensor:
    """An input as described, of batch size 2."""
    dtype = as_dtype(given["dtype"])
    held = np.dtype(object) if dtype.kind == "string" else dtype.storage
    return Tensor(np.ones((2, *given.get("shape", ())), held), dtype)


def started(specs: tuple[WeightSpec, ...], *, training: bool = False, conventions: Conventions = TF24) -> RecordingRun:
    """A run over freshly initialized variables."""
    random = np.random.default_rng(0)
    arrays = {spec.path: rounding.round_to(spec.initializer(spec.shape, random), spec.dtype) for spec in specs}
    arrays = {spec.path: arrays[spec.path].astype(spec.dtype.storage) for spec in specs}
    run = RecordingRun(specs, arrays, training=training, conventions=conventions)
    run.cast = set()
    return run


def layer_dtypes(given: dict[str, Any]) -> dict[str, Any]:
    policy = policy_of(given["global_policy"] if given["layer_policy"] is None else given["layer_policy"])
    inputs = [tensor(item) for item in given["inputs"]]
    layer = built(given["layer"], given["config"], policy)
    if policy.compute_dtype is None:  # nothing is cast before the policy is known
        layer = dataclasses.replace(layer.settled(inputs), autocast=False)
        policy = layer.policy
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
        output_dtypes=[item.dtype.name for item in (output if isinstance(output, list) else [output])],
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
    penalties = [spec.regularizer(run.variables[spec.path]) for spec in specs if spec.regularizer is not None]
    return accepted(warnings=[], loss_dtypes=[loss.dtype.name for loss in (*run.losses, *penalties)])


def add_weight(given: dict[str, Any]) -> dict[str, Any]:
    options = given["options"]
    layer = Own(name="weight", dtype=policy_of(given["policy"]))
    if not given.get("build_only"):
        layer = layer.settled(tensor({"dtype": given["input_dtype"]}))
    dtype = as_dtype(options["dtype"]) if "dtype" in options else layer.policy.variable
    named = initializers.read("initializer", options["initializer"]) if "initializer" in options else None
    spec = layer.spec("w", (3,), weights.started(named, dtype, "w", "weight"), dtype=dtype)
    run = started((spec,))
    variable = run.variables[spec.path]
    if given.get("build_only"):
        return accepted(warnings=[], variable_dtype=dtype.name, all_zero=not np.any(variable.data))
    autocast = options.get("experimental_autocast", True)
    inside = layer.weight(run, "w") if autocast else variable
    product = Multiply(name="product", dtype=layer.policy).call(run, inside, Tensor(inside.data, inside.dtype))
    return accepted(
        warnings=[],
        variable_dtype=dtype.name,
        autocast=autocast and casts_itself(layer.policy, dtype),
        read_outside=variable.dtype.name,
        layer_policy=layer.policy.name,
        read_in_call=inside.dtype.name,
        dtype_attribute_in_call=dtype.name,
        product_in_call=product.dtype.name,
    )


def k3_layer_dtypes(given: dict[str, Any]) -> dict[str, Any]:
    policy = Policy(given["policy"])
    layer = built(given["layer"], given["config"], policy, KERAS3)
    given_input = tensor(given["input"])
    specs = layer.weight_specs(given_input.shape)
    output = layer(started(specs, conventions=KERAS3), given_input)
    return accepted(
        output_dtype=output.dtype.name,
        compute_dtype=policy.compute_dtype,
        variable_dtype=policy.variable_dtype,
        weights=[{"name": spec.name, "dtype": spec.dtype.name, "trainable": spec.trainable} for spec in specs],
    )


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "layer_dtypes": layer_dtypes,
    "layer_losses": layer_losses,
    "add_weight": add_weight,
    "k3_layer_dtypes": k3_layer_dtypes,
}
