"""tf_keras: policies without loss scales, and the two LossScaleOptimizers, alone or as ``{"policy", "optimizer"}``."""

from __future__ import annotations

from typing import Any

from engine import scaler_rules
from engine.conventions import TF24, TF_KERAS
from engine.optimizers.base import Optimizer
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.serialization import tf_keras
from engine.serialization.tf_keras import TfKerasPolicy
from engine.serialization.tf_keras_optimizers import get_optimizer, serialize_optimizer, wrapped
from engine.serialization.translate import keras_parts as parts
from engine.serialization.translate.keras_parts import Found
from engine.serialization.translate.setup import Reading, Setup

LIMITS = {"growth_interval": "it counts whole steps"}


def read(config: Any) -> Reading:
    """Read a config."""
    found = Found()
    given = parts.split(config, ("loss_scaling",))
    if "policy" in given:
        _note_policy(found, given["policy"], parts.place(config, "policy"))
    if given.get("optimizer") is not None:
        path = parts.place(config, "optimizer")
        optimizer = parts.read_at(path, get_optimizer, given["optimizer"])
        parts.note_optimizer(found, optimizer, given["optimizer"], path)
    if "loss_scaling" in given:
        parts.note_arguments(found, given["loss_scaling"], scaler_rules.tf24)
    return found.reading()


def _note_policy(found: Found, value: Any, path: str) -> None:
    policy = parts.read_at(path, _read_policy, value)
    found.dtypes = parts.dtypes_of(policy.compute_dtype, policy.variable_dtype)
    at = parts.name_path(value, path)
    found.paths |= {"compute_dtype": at, "variable_dtype": at}
    if isinstance(value, dict) and "loss_scale" in value.get("config", {}):
        found.ignored[parts.below(path, "config", "loss_scale")] = "tf_keras drops it unread"
    if policy.name == "mixed_float16":
        found.scaled(scaler_rules.tf24(), {"scaling": at})
    else:
        found.unscaled(at)


def _read_policy(value: Any) -> Any:
    return TfKerasPolicy(value) if isinstance(value, str) else tf_keras.deserialize_policy(value).value


def write(setup: Setup) -> Any:
    """Return a policy or an optimizer, as much as the setup needs; scaling without an optimizer stands beside them."""
    policy = None if setup.dtypes is None else TfKerasPolicy(parts.policy_name(setup.dtypes, "_infer"))
    if setup.optimizer is not None:
        config: dict[str, Any] = {"optimizer": serialize_optimizer(_wrapped(setup, _in_line(setup.optimizer)))}
    elif parts.implied(setup, None if policy is None else policy.name):
        config = {}
    else:
        config = {"loss_scaling": parts.arguments(setup)}
    if policy is None:
        return config.get("optimizer", config)
    return {"policy": tf_keras.serialize_policy(policy), **config} if config else tf_keras.serialize_policy(policy)


def _in_line(optimizer: Optimizer) -> Optimizer:
    return parts.in_line(optimizer, TF24 if optimizer.is_legacy else TF_KERAS)


def _wrapped(setup: Setup, inner: Optimizer) -> Optimizer | LossScaleOptimizer:
    return wrapped(inner, **parts.wrapper_settings(setup)) if setup.rule is not None else inner
