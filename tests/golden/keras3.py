"""G7: policies of Keras 3."""

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from engine import scaler_rules
from engine.dtype_policy import CLASSES, DTypePolicy, by_name
from engine.dtype_policy_map import DTypePolicyMap
from engine.errors import EngineError
from engine.loss_scale import DynamicLossScale
from engine.serialization import keras3
from engine.serialization.keras3 import AnyPolicy
from tests.golden import dynamics
from tests.golden.compare import same
from tests.golden.outcome import accepted, refused


def facts(policy: AnyPolicy, global_name: str = "float32") -> dict[str, Any]:
    if isinstance(policy, DTypePolicyMap):
        return map_facts(policy, global_name)
    return {
        "result": "DTypePolicy",
        "class": type(policy).__name__,
        "name": policy.name,
        "compute_dtype": policy.compute_dtype,
        "variable_dtype": policy.variable_dtype,
        "quantization_mode": policy.quantization_mode,
        "get_config": policy.get_config(),
        "repr": repr(policy),
        **policy.details,
    }


def map_facts(policies: DTypePolicyMap, global_name: str = "float32") -> dict[str, Any]:
    default = policies.default_policy(global_name)
    return {
        "result": "DTypePolicyMap",
        "class": "DTypePolicyMap",
        "name": policies.name(global_name),
        "compute_dtype": default.compute_dtype,
        "variable_dtype": default.variable_dtype,
        "quantization_mode": default.quantization_mode,
        "length": len(policies.entries),
        "keys": list(policies.entries),
        "policies": [policy.name for policy in policies.entries.values()],
        "default_policy": default.name,
    }


def global_of(given: dict[str, Any]) -> str:
    return given.get("global_policy") or "float32"


def made(given: Any, global_name: str = "float32") -> AnyPolicy | None:
    if given is None:
        return None
    return CLASSES[given["class"]].from_config(given["kwargs"], global_name)


def k3_policy_construct(given: dict[str, Any]) -> dict[str, Any]:
    policy = made(given, global_of(given))
    assert policy is not None
    return accepted(**facts(policy))


def k3_get(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(keras3.get_policy(given["identifier"], global_of(given)), global_of(given)))


def k3_deserialize(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(keras3.deserialize_policy(given["config"], global_of(given)).value, global_of(given)))


def k3_serialize(given: dict[str, Any]) -> dict[str, Any]:
    policy = made(given)
    assert isinstance(policy, DTypePolicy)
    serialized = keras3.serialize_policy(policy)
    after = keras3.deserialize_policy(serialized).value
    return accepted(serialized=serialized, after=facts(after), equal=after == policy, get_by_name=_by_name(policy.name))


def _by_name(name: str) -> dict[str, Any]:
    try:
        return accepted(**facts(by_name(name)))
    except EngineError as error:
        return {key: fact for key, fact in refused(error).items() if key != "warnings"}


def k3_eq(given: dict[str, Any]) -> dict[str, Any]:
    other = made(given["b"]) if isinstance(given["b"], dict) else given["b"]
    return accepted(equal=made(given["a"]) == other)


def k3_global_policy(given: dict[str, Any]) -> dict[str, Any]:
    policy = facts(keras3.set_policy(given["set"]))
    return accepted(**{"global": policy, "dense_policy": policy})


def map_of(given: dict[str, Any], global_name: str = "float32") -> DTypePolicyMap:
    default = given["default_policy"]
    policies = DTypePolicyMap(None if default is None else by_name(default))
    for key, name in given["entries"]:
        policies = policies.having(key, by_name(name, global_name))
    return policies


def k3_map_construct(given: dict[str, Any]) -> dict[str, Any]:
    arguments = given["kwargs"]
    default = arguments.get("default_policy")
    entries = {key: keras3.entry_policy(value) for key, value in (arguments.get("policy_map") or {}).items()}
    chosen = None if default is None else keras3.get_policy(default)
    assert chosen is None or isinstance(chosen, DTypePolicy)
    shown = map_facts(DTypePolicyMap(chosen, MappingProxyType(entries)))
    return accepted(**{key: shown[key] for key in ("length", "default_policy", "name")})


def k3_map_get(given: dict[str, Any]) -> dict[str, Any]:
    policies = map_of(given, global_of(given))
    return accepted(policy=facts(policies.policy_of(given["key"], global_of(given))))


def k3_map_set(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**map_facts(DTypePolicyMap().having("k", keras3.entry_policy(given["value"]))))


def k3_map_serialize(given: dict[str, Any]) -> dict[str, Any]:
    policies = map_of(given)
    at_write, at_read = given["global_policy_at_write"], given["global_policy_at_read"]
    serialized = keras3.serialize_policy(policies)
    read = keras3.deserialize_policy(serialized, at_read).value
    assert isinstance(read, DTypePolicyMap)
    before = map_facts(policies, at_write)
    # Ours leaves what it writes alone, and tells which names Keras takes off it.
    after = {**before, "policies": [None] * len(policies.entries)} if keras3.stripped_names(policies) else before
    return accepted(
        before=before,
        serialized=serialized,
        original_after_serialize=after,
        read={"ok": True, **map_facts(read, at_read)},
    )


def k3_map_operations(given: dict[str, Any]) -> dict[str, Any]:
    policies = map_of(given)
    if "key" in given:
        return accepted(after_delete=map_facts(policies.without(given["key"])))
    deleted = policies.without("decoder")
    popped = deleted.entries["encoder/.*"]
    return accepted(
        contains={path: path in policies.entries for path in given["queries"]},
        after_delete=map_facts(deleted),
        get_deleted=facts(deleted.policy_of("decoder")),
        popped=facts(popped),
        after_pop=map_facts(deleted.without("encoder/.*")),
    )


def k3_layer_dtype_argument(given: dict[str, Any]) -> dict[str, Any]:
    policy = keras3.layer_policy(given["dtype"])
    assert isinstance(policy, DTypePolicy)
    return accepted(
        policy=facts(policy),
        dtype=policy.variable_dtype,
        compute_dtype=policy.compute_dtype,
        variable_dtype=policy.variable_dtype,
        input_dtype=policy.compute_dtype,
        config_dtype=keras3.serialize_policy(policy),
    )


STEP_FACTS = ("loss_scale", "counter", "should_apply")


def k3_lso_steps(given: dict[str, Any]) -> dict[str, Any]:
    settings = (given["initial_scale"], given["dynamic_growth_steps"])
    got = dynamics.steps(scaler_rules.keras3(*settings), given)
    tf24 = dynamics.steps(DynamicLossScale(*settings).rule, given)
    rows, tf24_rows = (list(zip(*(run[key] for key in STEP_FACTS), strict=True)) for run in (got, tf24))
    unlike = [index for index, (ours, theirs) in enumerate(zip(rows, tf24_rows, strict=True)) if not same(ours, theirs)]
    applied = got.pop("should_apply")
    return {
        **got,
        "applied": applied,
        "iterations": list(itertools.accumulate(map(int, applied))),
        "first_step_unlike_tf24": unlike[0] if unlike else None,
    }


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "k3_policy_construct": k3_policy_construct,
    "k3_get": k3_get,
    "k3_deserialize": k3_deserialize,
    "k3_serialize": k3_serialize,
    "k3_eq": k3_eq,
    "k3_global_policy": k3_global_policy,
    "k3_map_construct": k3_map_construct,
    "k3_map_get": k3_map_get,
    "k3_map_set": k3_map_set,
    "k3_map_serialize": k3_map_serialize,
    "k3_lso_steps": k3_lso_steps,
    "k3_map_operations": k3_map_operations,
    "k3_layer_dtype_argument": k3_layer_dtype_argument,
}
