"""G5: optimizers that scale the loss; their constructors and configs."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import EngineError, Unsupported
from engine.keras_config import check_arguments
from engine.optimizers.hyperparameters import hyperparameter, with_hyperparameter
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer, LossScaleOptimizerV1, deprecation_warning
from engine.serialization.left_behind import by_tf24_wrapper
from engine.serialization.tf24_optimizers import AnyOptimizer, deserialize_optimizer
from tests.golden.outcome import NotBuilt, accepted, refused

CLASSES: Mapping[str, type[LossScaleOptimizer]] = {
    "LossScaleOptimizer": LossScaleOptimizer,
    "LossScaleOptimizerV1": LossScaleOptimizerV1,
}


def facts(optimizer: AnyOptimizer) -> dict[str, Any]:
    """What the cases show of an optimizer that scales the loss."""
    assert isinstance(optimizer, LossScaleOptimizer)
    return {
        "class": optimizer.class_name,
        "is_LossScaleOptimizer": True,
        "inner_class": optimizer.inner_optimizer.class_name,
        "dynamic": optimizer.dynamic,
        "initial_scale": optimizer.initial_scale,
        "initial_scale_type": type(optimizer.initial_scale).__name__,
        "dynamic_growth_steps": optimizer.dynamic_growth_steps,
        "get_config": optimizer.get_config(),
        **_loss_scale(optimizer),
    }


def _loss_scale(optimizer: LossScaleOptimizer) -> dict[str, Any]:
    counter = 0 if optimizer.dynamic else None
    try:
        scale = optimizer.rule.initial().loss_scale
    except EngineError as error:
        # Our text names the argument and the bound; TF's speaks of a sequence where there is none.
        text = "Can't convert Python sequence with a value out of range for a double-precision float."
        return {"dynamic_counter": counter, "loss_scale_error": error.original, "loss_scale_message": text}
    return {"dynamic_counter": counter, "loss_scale": scale, "loss_scale_dtype": "float32"}


def read(config: Any) -> AnyOptimizer:
    """Read an optimizer; those that the engine lacks make the case unsupported."""
    try:
        return deserialize_optimizer(config)
    except Unsupported as error:
        raise NotBuilt(error.message) from error


def made(class_name: str, inner: Any, arguments: dict[str, Any]) -> LossScaleOptimizer:
    """Make an optimizer of keyword arguments, as Python would call the class."""
    if class_name == "LossScaleOptimizerV1":
        return LossScaleOptimizerV1(inner, **check_arguments(class_name, arguments, required=("loss_scale",)))
    optional = ("dynamic", "initial_scale", "dynamic_growth_steps")
    return LossScaleOptimizer(inner, **check_arguments(class_name, arguments, optional=optional))


def warnings_of(optimizer: AnyOptimizer) -> list[str]:
    return list(optimizer.warnings) if isinstance(optimizer, LossScaleOptimizerV1) else []


def lso_construct(given: dict[str, Any]) -> dict[str, Any]:
    inner = read(given["inner"]["optimizer"]) if "optimizer" in given["inner"] else given["inner"]["raw"]
    try:
        optimizer = made(given["class"], inner, given["kwargs"])
    except EngineError as error:
        return refused(error, _logged_before(given))
    return accepted(warnings=warnings_of(optimizer), **facts(optimizer))


def _logged_before(given: dict[str, Any]) -> list[str]:
    if given["class"] != "LossScaleOptimizerV1" or list(given["kwargs"]) != ["loss_scale"]:
        return []
    try:
        return [deprecation_warning(given["kwargs"]["loss_scale"])]
    except EngineError:
        return []


def lso_wrap_twice(given: dict[str, Any]) -> dict[str, Any]:
    inner = read(given["inner"]["optimizer"])
    first, second = (made("LossScaleOptimizer", inner, given[key]) for key in ("first", "second"))
    return accepted(first=facts(first), second=facts(second))


def lso_from_config(given: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(given["config"])
    # Ours leaves what it reads alone, and tells what TF leaves of it.
    left = by_tf24_wrapper(CLASSES[given["class"]], config)
    changed = {"input_unchanged": False, "input_after": left} if left != config else {"input_unchanged": True}
    try:
        optimizer = CLASSES[given["class"]].from_config(config, read)
    except EngineError as error:
        assert config == given["config"]
        return {**refused(error), **changed}
    assert config == given["config"]
    return accepted(warnings=warnings_of(optimizer), **facts(optimizer), **changed)


def optimizers_deserialize(given: dict[str, Any]) -> dict[str, Any]:
    optimizer = read(given["config"])
    return accepted(warnings=warnings_of(optimizer), **facts(optimizer))


def lso_config_roundtrip(given: dict[str, Any]) -> dict[str, Any]:
    before = made(given["class"], read(given["inner"]["optimizer"]), given["kwargs"])
    serialized = before.get_config()
    if given["to"] == "optimizers.deserialize":
        serialized = {"class_name": before.class_name, "config": serialized}
        after = read(serialized)
    else:
        after = CLASSES[given["to"]].from_config(serialized, read)
    was, now = facts(before), facts(after)
    return accepted(serialized=serialized, after=now, changed=sorted(key for key in was if was[key] != now.get(key)))


def lso_attribute_get(given: dict[str, Any]) -> dict[str, Any]:
    wrapper = LossScaleOptimizer(read(given["optimizer"]))
    if given["attribute"] == "iterations":  # state, which is not the optimizer's own here
        return accepted(warnings=[], value=0.0)
    return accepted(warnings=[], value=hyperparameter(wrapper, given["attribute"]))


def lso_attribute_set(given: dict[str, Any]) -> dict[str, Any]:
    name = given["attribute"]
    wrapper = with_hyperparameter(LossScaleOptimizer(read(given["optimizer"])), name, given["value"])
    inner = getattr(wrapper.inner_optimizer, {"lr": "learning_rate"}.get(name, name))
    return accepted(warnings=[], on_wrapper=hyperparameter(wrapper, name), on_inner=inner)


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "lso_construct": lso_construct,
    "lso_wrap_twice": lso_wrap_twice,
    "lso_from_config": lso_from_config,
    "optimizers_deserialize": optimizers_deserialize,
    "lso_config_roundtrip": lso_config_roundtrip,
    "lso_attribute_get": lso_attribute_get,
    "lso_attribute_set": lso_attribute_set,
}
