"""G7: the loss-scaling optimizer of Keras 3."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine import scaler, scaler_rules, step
from engine.conventions import KERAS3, TF24
from engine.dtype_policy import by_name
from engine.dtypes import FLOAT32, as_dtype
from engine.errors import EngineError
from engine.optimizers import SGD, AnyOptimizer
from engine.optimizers.later_loss_scale_optimizers import Keras3LossScaleOptimizer
from engine.optimizers.wrapping import wrap
from engine.serialization.keras3_optimizers import deserialize_optimizer, read_wrapper
from engine.serialization.left_behind import by_keras3_wrapper
from engine.tape import Tensor
from tests.golden.outcome import accepted, refused
from tests.golden.scaling import Variables, listed, on_grid

INNER = SGD(name="inner", learning_rate=0.25, conventions=KERAS3)


def facts(optimizer: AnyOptimizer) -> dict[str, Any]:
    assert isinstance(optimizer, Keras3LossScaleOptimizer)
    return {
        "class": optimizer.class_name,
        "inner_class": optimizer.inner_optimizer.class_name,
        "initial_scale": optimizer.initial_scale,
        "dynamic_growth_steps": optimizer.dynamic_growth_steps,
        "name": optimizer.name,
        "built": False,
        "get_config": optimizer.get_config(),
    }


def k3_lso_construct(given: dict[str, Any]) -> dict[str, Any]:
    inner = INNER if "inner" in given else given["raw"]
    return accepted(**facts(Keras3LossScaleOptimizer(inner, **given.get("kwargs", {}))))


def k3_lso_from_config(given: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(given["config"])
    optimizer = read_wrapper(config)
    assert config == given["config"]
    return accepted(**facts(optimizer), input_unchanged=by_keras3_wrapper(config) == config)


def k3_optimizers_deserialize(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(deserialize_optimizer(given["config"])))


def k3_lso_nested(given: dict[str, Any]) -> dict[str, Any]:
    inner: Any = Keras3LossScaleOptimizer(INNER)
    return accepted(**facts(Keras3LossScaleOptimizer(inner)))


def k3_lso_scale_loss(given: dict[str, Any]) -> dict[str, Any]:
    dtype = as_dtype(given["dtype"])
    loss = Tensor(on_grid(given["loss"], dtype), dtype)
    try:
        scale = Keras3LossScaleOptimizer(INNER, given["initial_scale"]).rule.initial().loss_scale
    except EngineError as error:
        # Our text names the argument and the bound; TF's speaks of a sequence where there is none.
        text = "Can't convert Python sequence with a value out of range for a double-precision float."
        return {**refused(error), "message": text}
    # Before it is built, the scale is a Python number, which takes the dtype of the loss.
    found = {"not_built": step.scaled_loss(loss, scale, TF24), "built": step.scaled_loss(loss, scale, KERAS3)}
    return accepted(**{key: {"dtype": item.dtype.name, "value": listed(item.data)} for key, item in found.items()})


def k3_lso_apply(given: dict[str, Any]) -> dict[str, Any]:
    rule = scaler_rules.keras3(**{_RULE_NAMES.get(key, key): value for key, value in given["kwargs"].items()})
    inner = SGD(learning_rate=given["learning_rate"], conventions=KERAS3)
    variables = Variables(inner, [given["variable"]], FLOAT32)
    state, iterations, steps = rule.initial(), 0, []
    for values in given["scaled_gradients"]:
        scaled = on_grid(values, FLOAT32)
        (gradient,) = step.unscaled([scaled], [FLOAT32], rule, state.loss_scale)
        assert isinstance(gradient, np.ndarray)
        state, applied = scaler.update(rule, state, step.norm_and_finiteness([scaled])[1])
        if applied:
            variables.apply(iterations, [gradient])
            iterations += 1
        weights = listed(variables.arrays[0])
        steps.append(
            {"weights": weights, "iterations": iterations, "scale": state.loss_scale, "counter": state.counter}
        )
    return accepted(steps=steps)


_RULE_NAMES = {"dynamic_growth_steps": "growth_interval"}


def k3_compile_wrap(given: dict[str, Any]) -> dict[str, Any]:
    if given["optimizer"] is None:
        return accepted(optimizer=None)
    lso = Keras3LossScaleOptimizer(INNER, initial_scale=8.0)
    known: Mapping[str, AnyOptimizer] = {"lso": lso, "object": INNER}
    argument = known.get(given["optimizer"]) or SGD(conventions=KERAS3)
    optimizer = wrap(argument, by_name(given["policy"]), KERAS3, auto_scale_loss=given["auto_scale_loss"])
    # Names that Keras made by counting objects were recorded as null.
    shown: dict[str, Any] = {"class": optimizer.class_name, "name": None}
    if isinstance(optimizer, Keras3LossScaleOptimizer):
        every = facts(optimizer)
        shown |= {key: every[key] for key in ("inner_class", "initial_scale", "dynamic_growth_steps")}
        shown["name"] = None if optimizer is argument else optimizer.name
    return accepted(optimizer=shown)


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "k3_lso_construct": k3_lso_construct,
    "k3_lso_from_config": k3_lso_from_config,
    "k3_lso_nested": k3_lso_nested,
    "k3_lso_scale_loss": k3_lso_scale_loss,
    "k3_lso_apply": k3_lso_apply,
    "k3_optimizers_deserialize": k3_optimizers_deserialize,
    "k3_compile_wrap": k3_compile_wrap,
}
