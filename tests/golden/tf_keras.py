"""G7: policies of tf_keras."""

from collections.abc import Callable, Mapping
from typing import Any

from engine import scaler_rules
from engine.device_compatibility import device_compatibility
from engine.policy import Policy
from engine.serialization import tf_keras
from engine.serialization.tf_keras import TfKerasPolicy
from tests.golden import dynamics
from tests.golden.compare import same
from tests.golden.outcome import accepted


def facts(policy: Policy) -> dict[str, Any]:
    return {
        "result": "Policy",
        "class": "Policy",
        "name": policy.name,
        "compute_dtype": policy.compute_dtype,
        "variable_dtype": policy.variable_dtype,
        "get_config": policy.get_config(),
        "repr": repr(policy),
    }


def tfk_policy_construct(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(TfKerasPolicy(given["name"])))


def tfk_policy_construct_sequence(given: dict[str, Any]) -> dict[str, Any]:
    steps = []
    logged: set[str] = set()
    for name in given["names"]:
        said = device_compatibility(TfKerasPolicy(name).name, given["gpus"]).warnings
        steps.append({"name": name, "warnings": [text for text in said if text not in logged]})
        logged.update(said)
    return accepted(steps=steps)


def tfk_get_policy(given: dict[str, Any]) -> dict[str, Any]:
    global_policy = TfKerasPolicy(given["global_policy"] or "float32")
    return accepted(**facts(tf_keras.get_policy(given["identifier"], global_policy)))


def tfk_serialize(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(serialized=tf_keras.serialize_policy(TfKerasPolicy(given["name"])))


def tfk_roundtrip(given: dict[str, Any]) -> dict[str, Any]:
    written = tf_keras.serialize_policy(TfKerasPolicy(given["name"]))
    return accepted(after=facts(tf_keras.deserialize_policy(written).value))


def tfk_deserialize(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(tf_keras.deserialize_policy(given["config"]).value))


def tfk_from_config(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**facts(TfKerasPolicy.from_config(given["config"])))


def tfk_global_policy(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**{"global": facts(tf_keras.set_policy(given["set"]))})


def tfk_layer_dtype_argument(given: dict[str, Any]) -> dict[str, Any]:
    policy = tf_keras.get_policy(given["dtype"], TfKerasPolicy("float32"))
    return accepted(policy=facts(policy), config_dtype=tf_keras.serialize_policy(policy))


def tfk_dynamics(given: dict[str, Any]) -> dict[str, Any]:
    settings = (given["initial"], int(given["period"]))
    got = dynamics.steps(scaler_rules.RULES["tf_keras"](*settings, given["multiplier"]), given)
    return {**got, "same_as_tf24": same(got, dynamics.loss_scale_steps(given))}


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "tfk_policy_construct": tfk_policy_construct,
    "tfk_policy_construct_sequence": tfk_policy_construct_sequence,
    "tfk_get_policy": tfk_get_policy,
    "tfk_serialize": tfk_serialize,
    "tfk_roundtrip": tfk_roundtrip,
    "tfk_deserialize": tfk_deserialize,
    "tfk_from_config": tfk_from_config,
    "tfk_global_policy": tfk_global_policy,
    "tfk_layer_dtype_argument": tfk_layer_dtype_argument,
    "tfk_dynamics": tfk_dynamics,
}
