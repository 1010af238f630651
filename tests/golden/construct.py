"""G1: making policies, and what TF says about the machine."""

from collections.abc import Callable, Mapping
from typing import Any

from engine import loss_scale
from engine.device_compatibility import device_compatibility
from engine.errors import EngineError
from engine.keras_config import check_arguments
from engine.policy import Policy, PolicyV1, loss_scale_warnings
from tests.golden.outcome import accepted, refused

CLASSES = {"Policy": Policy, "PolicyV1": PolicyV1}


def facts(policy: Policy) -> dict[str, Any]:
    has_loss_scale = isinstance(policy, PolicyV1)
    return {
        "class": type(policy).__name__,
        "name": policy.name,
        "compute_dtype": policy.compute_dtype,
        "variable_dtype": policy.variable_dtype,
        "has_loss_scale": has_loss_scale,
        "loss_scale": loss_scale.serialize(policy.loss_scale) if isinstance(policy, PolicyV1) else None,
        "get_config": policy.get_config(),
        "repr": repr(policy),
    }


def made(class_name: str, arguments: dict[str, Any]) -> Policy:
    """Make a policy of keyword arguments, as Python would call the class."""
    optional = ("loss_scale",) if class_name == "PolicyV1" else ()
    return CLASSES[class_name](**check_arguments(class_name, arguments, required=("name",), optional=optional))


def made_of(given: dict[str, Any]) -> Policy:
    """Make the policy that the input of a case describes."""
    return made(given["class"], {key: given[key] for key in ("name", "loss_scale") if key in given})


def warnings_given(arguments: Any) -> tuple[str, ...]:
    """What TF logged before it refused the arguments of a PolicyV1."""
    try:
        return loss_scale_warnings(Policy(arguments["name"]), arguments["loss_scale"])
    except (EngineError, KeyError, TypeError):  # refused before the loss scale was looked at
        return ()


def policy_construct(given: dict[str, Any]) -> dict[str, Any]:
    try:
        policy = made_of(given)
    except EngineError as error:
        return refused(error, warnings_given(given) if given["class"] == "PolicyV1" else ())
    return accepted(warnings=list(policy.warnings), **facts(policy))


def policy_construct_sequence(given: dict[str, Any]) -> dict[str, Any]:
    steps = []
    logged: set[str] = set()
    for name in given["names"]:
        try:
            policy = made(given["class"], {"name": name})
        except EngineError:
            steps.append({"name": name, "ok": False, "warnings": []})
            continue
        said = device_compatibility(name, given["gpus"]).warnings
        steps.append({"name": name, "ok": True, "warnings": [*(w for w in said if w not in logged), *policy.warnings]})
        logged.update(said)
    return accepted(steps=steps)


def device_compatibility_message(given: dict[str, Any]) -> dict[str, Any]:
    said = device_compatibility(given["policy"], given["gpus"])
    return accepted(warnings=list(said.warnings), infos=list(said.infos))


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "policy_construct": policy_construct,
    "policy_construct_sequence": policy_construct_sequence,
    "device_compatibility_message": device_compatibility_message,
}
