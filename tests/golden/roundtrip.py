"""G2: policies to text and back."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from engine import loss_scale
from engine.errors import EngineError
from engine.loss_scale import LossScale
from engine.policy import Policy, PolicyV1
from engine.scaler import ScalerState, update
from engine.serialization import tf24
from tests.golden.construct import CLASSES, facts, made_of, warnings_given
from tests.golden.outcome import accepted, refused


def policy_serialize(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(serialized=tf24.serialize_policy(made_of(given)))


def policy_from_config(given: dict[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(given["config"])
    try:
        policy = CLASSES[given["class"]].from_config(config)
    except EngineError as error:
        return refused(error, warnings_given(_read_first(config)) if given["class"] == "PolicyV1" else ())
    dropped = [key for key in config if key not in policy.get_config()]
    unchanged = config == given["config"]
    return accepted(warnings=list(policy.warnings), dropped=dropped, input_unchanged=unchanged, **facts(policy))


def policy_deserialize(given: dict[str, Any]) -> dict[str, Any]:
    read = tf24.deserialize_policy(given["config"])
    return accepted(warnings=list(read.warnings), dropped=list(read.dropped), **facts(read.value))


WAYS: Mapping[str, Callable[[Policy], Policy]] = {
    "serialize_deserialize": lambda policy: tf24.deserialize_policy(tf24.serialize_policy(policy)).value,
    "own_from_config": lambda policy: type(policy).from_config(policy.get_config()),
    "Policy.from_config": lambda policy: Policy.from_config(policy.get_config()),
    "PolicyV1.from_config": lambda policy: PolicyV1.from_config(policy.get_config()),
}


def policy_roundtrip(given: dict[str, Any]) -> dict[str, Any]:
    policy = made_of(given)
    before, after = facts(policy), facts(WAYS[given["way"]](policy))
    changed = sorted(key for key in before if before[key] != after[key])
    lost_class = before["has_loss_scale"] and not after["has_loss_scale"]
    lost_scale = before["loss_scale"] is not None and before["loss_scale"] != after["loss_scale"]
    dropped = ["class"] * lost_class + ["loss_scale"] * lost_scale
    return accepted(after=after, dropped=dropped, changed=changed)


def policy_roundtrip_state(given: dict[str, Any]) -> dict[str, Any]:
    policy = made_of(given)
    again = WAYS[given["way"]](policy)
    moved, fresh = _after(policy, given["steps"]), _after(again, [])
    return accepted(
        before={"loss_scale": moved.loss_scale, "counter": moved.counter},
        after={"loss_scale": fresh.loss_scale, "counter": fresh.counter},
        repr_before=_repr(policy, moved),
        repr_after=_repr(again, fresh),
        dropped=["loss_scale_state"] if moved != fresh else [],
    )


def _after(policy: Policy, steps: list[list[Any]]) -> ScalerState:
    rule = _scale(policy).rule
    state = rule.initial()
    for gradients in steps:
        state, _ = update(rule, state, all(gradient not in ("inf", "-inf", "nan") for gradient in gradients))
    return state


def _repr(policy: Policy, state: ScalerState) -> str:
    return f'<PolicyV1 "{policy.name}", loss_scale={loss_scale.describe(_scale(policy), state)}>'


def _scale(policy: Policy) -> LossScale:
    assert isinstance(policy, PolicyV1)
    assert policy.loss_scale is not None
    return policy.loss_scale


def _read_first(config: Any) -> Any:
    """The config with its loss scale read, as PolicyV1.from_config hands it on."""
    if not (isinstance(config, dict) and isinstance(config.get("loss_scale"), dict)):
        return config
    return {**config, "loss_scale": loss_scale.deserialize(config["loss_scale"])}


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "policy_serialize": policy_serialize,
    "policy_from_config": policy_from_config,
    "policy_deserialize": policy_deserialize,
    "policy_roundtrip": policy_roundtrip,
    "policy_roundtrip_state": policy_roundtrip_state,
}
