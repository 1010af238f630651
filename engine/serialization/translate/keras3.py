"""Keras 3: dtype policies, LossScaleOptimizer and ``loss_scale_factor``, alone or as ``{"policy", "optimizer"}``."""

from __future__ import annotations

from typing import Any

from engine import scaler_rules
from engine.conventions import KERAS3
from engine.dtype_policy import DTYPE_NAMES, DTypePolicy, FloatDTypePolicy, by_name
from engine.dtype_policy_map import DTypePolicyMap
from engine.errors import EngineError
from engine.optimizers.base import Optimizer
from engine.optimizers.later_loss_scale_optimizers import Keras3LossScaleOptimizer
from engine.serialization import keras3
from engine.serialization.keras3_optimizers import deserialize_optimizer, serialize_optimizer
from engine.serialization.translate import keras_parts as parts
from engine.serialization.translate.keras_parts import Found
from engine.serialization.translate.setup import Dtypes, Path, Reading, Setup, steps

LIMITS = {"growth_interval": "it counts whole steps"}
_POLICY = "dtype_policy"


def read(config: Any) -> Reading:
    """Read a config."""
    found = Found()
    given = parts.split(config, ("loss_scaling",))
    if "policy" in given:
        _note_policy(found, given["policy"], parts.place(config, "policy"))
    if given.get("optimizer") is not None:
        path = parts.place(config, "optimizer")
        value = given["optimizer"]
        optimizer = parts.read_at(path, _read_optimizer, value)
        parts.note_optimizer(found, optimizer, value, path)
    if "loss_scaling" in given:
        parts.note_arguments(found, given["loss_scaling"], scaler_rules.keras3)
    return found.reading()


def _read_optimizer(value: Any) -> Any:
    return deserialize_optimizer(value if isinstance(value, dict) else {"class_name": value, "config": {}})


def _note_policy(found: Found, value: Any, path: str) -> None:
    policy = parts.read_at(path, keras3.get_policy, value)
    plain = policy.default_policy() if isinstance(policy, DTypePolicyMap) else policy
    found.dtypes = parts.dtypes_of(plain.compute_dtype, plain.variable_dtype, _details(policy))
    at = _name_path(policy, value, path)
    found.paths |= {"compute_dtype": at, "variable_dtype": at}
    found.paths |= {
        fact: parts.below(path, "config") if isinstance(value, dict) else path for fact in found.dtypes.details
    }
    # Only the name counts: neither a quantized policy nor a map over "mixed_float16" is scaled.
    if not isinstance(policy, DTypePolicyMap) and policy.name == "mixed_float16":
        found.scaled(scaler_rules.keras3(), {"scaling": at})
    else:
        found.unscaled(at)


def _name_path(policy: Any, value: Any, path: str) -> Path:
    if isinstance(policy, DTypePolicyMap):
        return parts.name_path(value, path, "default_policy")
    return parts.name_path(value, path, "name" if "name" in policy.get_config() else "source_name")


def _details(policy: Any) -> dict[str, Any]:
    if isinstance(policy, DTypePolicyMap) or type(policy) not in (DTypePolicy, FloatDTypePolicy):
        return {_POLICY: keras3.serialize_policy(policy)}
    return {}


def write(setup: Setup) -> Any:
    """Return a policy or an optimizer, as much as the setup needs; scaling without an optimizer stands beside them."""
    policy = None if setup.dtypes is None else _policy_of(setup.dtypes)
    name = None if policy is None or isinstance(policy, DTypePolicyMap) else policy.name
    if setup.optimizer is not None:
        inner = parts.in_line(setup.optimizer, KERAS3)
        config: dict[str, Any] = {"optimizer": serialize_optimizer(_scaled(setup, inner))}
    elif parts.implied(setup, name):
        config = {}
    else:
        config = {"loss_scaling": parts.arguments(setup)}
    if policy is None:
        return config.get("optimizer", config)
    return {"policy": keras3.serialize_policy(policy), **config} if config else keras3.serialize_policy(policy)


def _scaled(setup: Setup, inner: Optimizer) -> Any:
    if setup.rule is None:
        return inner
    if setup.scaling == "fixed":
        config = {**inner.get_config(KERAS3), "loss_scale_factor": setup.rule.initial_scale}
        return type(inner).from_config(config, conventions=KERAS3)
    return Keras3LossScaleOptimizer(inner, setup.rule.initial_scale, steps(setup.rule))


def _policy_of(dtypes: Dtypes) -> Any:
    if _POLICY in dtypes.details:
        return keras3.get_policy(dtypes.details[_POLICY])
    name = parts.policy_name(dtypes, None)
    if name not in DTYPE_NAMES and not name.startswith("mixed_"):
        return DTypePolicy("float32")
    try:
        return by_name(name)
    except EngineError:  # a name that Keras 3 takes for half of a quantized policy, such as "int8"
        return DTypePolicy(name)
