"""G6: the policies of layers, the global policy, and what compiling does to an optimizer."""

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import EngineError, Unsupported
from engine.global_policy import GlobalPolicy
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.policy import Policy
from engine.serialization import tf24
from engine.serialization.tf24_layers import layer_policy
from engine.serialization.tf24_optimizers import compiled, get_optimizer
from tests.golden import construct, optimizers
from tests.golden.outcome import NotBuilt, accepted, refused


def policy_of(given: Any) -> Policy:
    """The policy of an input: a string is a plain Policy of that name, a dict names class and arguments."""
    if given is None:
        return Policy("float32")
    return Policy(given) if isinstance(given, str) else construct.made_of(given)


def layer_dtype_argument(given: dict[str, Any]) -> dict[str, Any]:
    policy = layer_policy(given["dtype"], policy_of(given["global_policy"]))
    return accepted(
        warnings=[],
        policy=construct.facts(policy),
        layer_dtype=policy.variable_dtype,
        layer_compute_dtype=policy.compute_dtype,
        config_dtype=tf24.serialize_policy(policy),
    )


def layer_config_dtype(given: dict[str, Any]) -> dict[str, Any]:
    policy = policy_of(given["policy"])
    config = tf24.serialize_policy(policy)
    after = layer_policy(config, policy_of(given["global_policy"]))
    return accepted(config_dtype=config, before=construct.facts(policy), after=construct.facts(after))


def _shown(state: GlobalPolicy) -> dict[str, Any]:
    return {"global": construct.facts(state.current), "dense_policy": layer_policy(None, state.current).name}


def _scope(state: GlobalPolicy, name: Any) -> tuple[GlobalPolicy, dict[str, Any]]:
    return state, {"inside": _shown(state.set_policy(name)), "after": _shown(state)}


def _set_policy(state: GlobalPolicy, value: Any) -> tuple[GlobalPolicy, dict[str, Any]]:
    after = state.set_policy(value)
    return after, _shown(after)


def _set_floatx(state: GlobalPolicy, value: Any) -> tuple[GlobalPolicy, dict[str, Any]]:
    after = state.set_floatx(value)
    return after, _shown(after)


ACTIONS: Mapping[str, Callable[[GlobalPolicy, Any], tuple[GlobalPolicy, dict[str, Any]]]] = {
    "set_policy": _set_policy,
    "set_policy_object": lambda state, given: _set_policy(state, construct.made_of(given)),
    "set_floatx": _set_floatx,
    "policy_scope": _scope,
}


def global_policy(given: dict[str, Any]) -> dict[str, Any]:
    state = GlobalPolicy()
    results = []
    for action in given["actions"]:
        ((name, value),) = action.items()
        try:
            state, shown = ACTIONS[name](state, value)
        except EngineError as error:
            results.append({key: fact for key, fact in refused(error).items() if key != "warnings"})
            continue
        results.append({"ok": True, **shown})
    return accepted(results=results)


class TFOptimizer:
    """Stands for an optimizer of TF 1, which is none here."""


def _argument(given: Any) -> Any:
    """The optimizer argument that an input describes."""
    if isinstance(given, list):
        return [_argument(item) for item in given]
    if given["kind"] == "raw":
        return given["value"]
    if given["kind"] == "keras":
        return optimizers.read(given["optimizer"])
    if given["kind"] == "tf1":
        return TFOptimizer()
    if given["kind"] in optimizers.CLASSES:
        return optimizers.made(given["kind"], get_optimizer("sgd"), given["kwargs"])
    raise NotBuilt(f"an optimizer of kind {given['kind']}")


def _flat(structure: Any) -> list[Any]:
    if isinstance(structure, list):
        return structure
    return list(structure.values()) if isinstance(structure, dict) else [structure]


def _facts(optimizer: Any) -> Any:
    if isinstance(optimizer, list):
        return [_facts(item) for item in optimizer]
    if isinstance(optimizer, dict):
        return {key: _facts(item) for key, item in optimizer.items()}
    if not isinstance(optimizer, LossScaleOptimizer):
        return {"class": optimizer.class_name, "is_LossScaleOptimizer": False}
    every = optimizers.facts(optimizer)
    keys = ("class", "is_LossScaleOptimizer", "inner_class", "dynamic", "initial_scale", "dynamic_growth_steps")
    return {key: every[key] for key in (*keys, "loss_scale")}


def compile_wrap(given: dict[str, Any]) -> dict[str, Any]:
    policy = policy_of(given["policy"])
    argument = _argument(given["optimizer"])
    try:
        result = compiled(argument, policy)
    except Unsupported as error:
        raise NotBuilt(error.message) from error
    wrapped_now = [optimizer for optimizer in _flat(result) if not any(optimizer is item for item in _flat(argument))]
    warnings = [text for optimizer in wrapped_now for text in optimizers.warnings_of(optimizer)]
    return accepted(
        optimizer=_facts(result),
        same_object=result is argument,
        compile_warnings=warnings,
        model_policy=repr(policy),
    )


def compile_twice(given: dict[str, Any]) -> dict[str, Any]:
    policy = policy_of(given["policy"])
    argument = _argument(given["optimizer"])
    first = compiled(argument, policy)
    second = compiled(first if given["again"] == "model.optimizer" else argument, policy)
    return accepted(first=_facts(first), second=_facts(second))


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "layer_dtype_argument": layer_dtype_argument,
    "layer_config_dtype": layer_config_dtype,
    "global_policy": global_policy,
    "compile_wrap": compile_wrap,
    "compile_twice": compile_twice,
}
