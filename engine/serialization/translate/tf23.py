"""TF 2.3: the experimental Policy with its loss scale, and LossScaleOptimizer of ``{"optimizer", "loss_scale"}``."""

from __future__ import annotations

from typing import Any

from engine import loss_scale
from engine.conventions import TF24
from engine.loss_scale import LossScale
from engine.policy import PolicyV1, is_dtype_name
from engine.serialization import tf24 as tf24_policies
from engine.serialization.translate import keras_parts as parts
from engine.serialization.translate import tf24
from engine.serialization.translate.setup import Reading, Setup

LIMITS = tf24.LIMITS


def read(config: Any) -> Reading:
    """Read a config."""
    return tf24.read_parts(config, PolicyV1)


def write(setup: Setup) -> Any:
    """Return a policy, a loss scale or an optimizer, as much as the setup needs."""
    scale = tf24.loss_scale_of(setup)
    if setup.optimizer is None:
        if setup.dtypes is None:
            return loss_scale.serialize(scale) if setup.scaling != "none" else {"loss_scale": None}
        return write_policy(parts.policy_name(setup.dtypes, "_infer"), scale)
    inner = parts.in_line(setup.optimizer, TF24)
    optimizer: Any = {"class_name": inner.class_name, "config": inner.get_config(TF24)}
    if scale is not None:
        config = {"optimizer": optimizer, "loss_scale": loss_scale.serialize(scale)}
        optimizer = {"class_name": "LossScaleOptimizer", "config": config}
    if setup.dtypes is None:
        return optimizer
    # The policy says the same, so that compiling wraps the optimizer in the same way if it is taken out of its wrapper.
    return {"policy": write_policy(parts.policy_name(setup.dtypes, "_infer"), scale), "optimizer": optimizer}


def write_policy(name: str, scale: LossScale | None) -> Any:
    """Return what TF 2.3 writes of a policy: a dtype's name where there is nothing to add."""
    policy = PolicyV1(name)
    if policy.loss_scale == scale:
        plain = tf24_policies.serialize_policy(policy)
        assert isinstance(plain, dict)
        return name if is_dtype_name(name) else {**plain, "class_name": "Policy"}
    written = tf24_policies.serialize_policy(PolicyV1(name, scale))
    assert isinstance(written, dict)
    return {**written, "class_name": "Policy"}
