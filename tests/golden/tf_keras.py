"""G7: policies of tf_keras."""

from collections.abc import Callable, Mapping
from typing import Any

from engine import scaler_rules
from engine.conventions import TF24, TF_KERAS
from engine.device_compatibility import device_compatibility
from engine.keras_config import check_arguments
from engine.optimizers import SGD, Optimizer
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.policy import Policy, PolicyV1
from engine.serialization import tf_keras
from engine.serialization.tf24_optimizers import AnyOptimizer
from engine.serialization.tf_keras import TfKerasPolicy
from engine.serialization.tf_keras_optimizers import (
    compiled,
    deserialize_optimizer,
    read_wrapper,
    wrapped,
    wrapper_config,
)
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


def lso_facts(optimizer: AnyOptimizer) -> dict[str, Any]:
    if not isinstance(optimizer, LossScaleOptimizer):
        return {"class": optimizer.class_name, "is_LossScaleOptimizer": False}
    return {
        "class": optimizer.class_name,
        "is_LossScaleOptimizer": True,
        "inner_class": optimizer.inner_optimizer.class_name,
        "dynamic": optimizer.dynamic,
        "initial_scale": optimizer.initial_scale,
        "dynamic_growth_steps": optimizer.dynamic_growth_steps,
        "dynamic_counter": optimizer.rule.initial().counter if optimizer.dynamic else None,
        "loss_scale": optimizer.rule.initial().loss_scale,
    }


INNER: Mapping[str, Optimizer] = {
    "new": SGD(learning_rate=0.25, conventions=TF_KERAS),
    "legacy": SGD(learning_rate=0.25, conventions=TF24),
}


def tfk_lso_construct(given: dict[str, Any]) -> dict[str, Any]:
    optional = ("dynamic", "initial_scale", "dynamic_growth_steps")
    arguments = check_arguments("LossScaleOptimizer", given.get("kwargs", {}), optional=optional)
    optimizer = wrapped(INNER[given["inner"]] if "inner" in given else given["raw"], **arguments)
    return accepted(**lso_facts(optimizer), get_config=wrapper_config(optimizer))


def tfk_lso_from_config(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**lso_facts(read_wrapper(given["class"], given["config"])))


def tfk_lso_twice(given: dict[str, Any]) -> dict[str, Any]:
    wrapped(INNER[given["inner"]])
    return accepted(**lso_facts(wrapped(INNER[given["inner"]])))


def tfk_optimizers_deserialize(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(**lso_facts(deserialize_optimizer(given["config"], legacy=given["use_legacy_optimizer"])))


def tfk_compile_wrap(given: dict[str, Any]) -> dict[str, Any]:
    kind, _, inner = given["optimizer"].partition("-")
    if kind == "lso":
        optimizer: Any = wrapped(INNER[inner], dynamic=False, initial_scale=8)
    else:
        optimizer = INNER.get(given["optimizer"], given["optimizer"])
    return accepted(optimizer=lso_facts(compiled(optimizer, TfKerasPolicy(given["policy"]))))


def tfk_has_experimental_policy(given: dict[str, Any]) -> dict[str, Any]:
    config = {"class_name": "PolicyV1", "config": {"name": "float32"}}
    kept = isinstance(tf_keras.deserialize_policy(config).value, PolicyV1)
    return accepted(PolicyV1=kept, experimental_namespace=kept)


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
    "tfk_lso_construct": tfk_lso_construct,
    "tfk_lso_from_config": tfk_lso_from_config,
    "tfk_lso_twice": tfk_lso_twice,
    "tfk_optimizers_deserialize": tfk_optimizers_deserialize,
    "tfk_compile_wrap": tfk_compile_wrap,
    "tfk_has_experimental_policy": tfk_has_experimental_policy,
}
