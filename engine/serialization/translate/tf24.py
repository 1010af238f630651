"""TF 2.4: Policy and PolicyV1, loss scales, and LossScaleOptimizer, alone or as ``{"policy", "optimizer"}``."""

from __future__ import annotations

from typing import Any

from engine import loss_scale
from engine.conventions import TF24
from engine.loss_scale import DynamicLossScale, FixedLossScale, LossScale
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.policy import Policy, PolicyV1
from engine.serialization import tf24
from engine.serialization.tf24_optimizers import deserialize_optimizer
from engine.serialization.translate import keras_parts as parts
from engine.serialization.translate.keras_parts import Found
from engine.serialization.translate.setup import Dtypes, Reading, Remark, Setup, steps

LIMITS = {
    "initial_scale": "a FixedLossScale is at least 1",
    "growth_interval": "it counts whole steps",
}


def read(config: Any) -> Reading:
    """Read a config."""
    return read_parts(config, Policy)


def read_parts(config: Any, plain: type[Policy]) -> Reading:
    """Read a config of TF 2.3 or 2.4.

    Args:
        config: of any form.
        plain: the class of a policy that is given as a name.
    """
    found = Found()
    given = parts.split(config)
    if "policy" in given:
        _note_policy(found, given["policy"], parts.place(config, "policy"), plain)
    if "loss_scale" in given:
        path = parts.place(config, "loss_scale")
        scale = parts.read_at(path, loss_scale.get, given["loss_scale"])
        parts.note_loss_scale(found, scale, given["loss_scale"], path)
    if given.get("optimizer") is not None:
        _note_optimizer(found, given["optimizer"], parts.place(config, "optimizer"))
    return found.reading()


def _note_policy(found: Found, value: Any, path: str, plain: type[Policy]) -> None:
    policy = parts.read_at(path, lambda item: _read_policy(item, plain), value)
    found.dtypes = parts.dtypes_of(policy.compute_dtype, policy.variable_dtype)
    at = parts.name_path(value, path)
    found.paths |= {"compute_dtype": at, "variable_dtype": at}
    inner = value.get("config", {}) if isinstance(value, dict) else {}
    if isinstance(policy, PolicyV1) and "loss_scale" in inner:
        parts.note_loss_scale(found, policy.loss_scale, inner["loss_scale"], parts.below(path, "config", "loss_scale"))
    elif policy.name == "mixed_float16":
        found.scaled(DynamicLossScale().rule, {"scaling": at})
        if "loss_scale" in inner:
            found.ignored[parts.below(path, "config", "loss_scale")] = "TF drops it, unread, from a plain Policy"
    else:
        found.unscaled(at)
        if "loss_scale" in inner:
            found.ignored[parts.below(path, "config", "loss_scale")] = "TF drops it, unread, from a plain Policy"


def _read_policy(value: Any, plain: type[Policy]) -> Policy:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict) and value.get("class_name") == "Policy" and plain is PolicyV1:
        return tf24.read_policy({**value, "class_name": "PolicyV1"}).value
    return tf24.read_policy(value).value


def _note_optimizer(found: Found, value: Any, path: str) -> None:
    settings = value.get("config") if isinstance(value, dict) else None
    if not isinstance(settings, dict) or "loss_scale" not in settings:
        parts.note_optimizer(found, parts.read_at(path, _optimizer, value), value, path)
        return
    scale = parts.read_at(path, loss_scale.deserialize, settings["loss_scale"])
    # The scale is read on its own, because TF 2.4's optimizers refuse multipliers that TF 2.3's took.
    modest = {**settings, "loss_scale": loss_scale.serialize(_modest(scale))}
    optimizer = parts.read_at(path, _optimizer, {**value, "config": modest})
    parts.note_optimizer(found, optimizer, value, path)
    for key in ("initial_scale", "growth_interval"):
        found.paths.pop(key, None)
    parts.note_loss_scale(found, scale, settings["loss_scale"], parts.below(path, "config", "loss_scale"))


def _modest(scale: LossScale | None) -> LossScale | None:
    return (
        DynamicLossScale(scale.initial_loss_scale, scale.increment_period)
        if isinstance(scale, DynamicLossScale)
        else scale
    )


def _optimizer(value: Any) -> Any:
    """Read an optimizer; without its inner optimizer, a wrapper is read around a stand-in."""
    return deserialize_optimizer(value if isinstance(value, dict) else {"class_name": value, "config": {}})


def write(setup: Setup) -> Any:
    """Return a policy, a loss scale or an optimizer, as much as the setup needs."""
    if setup.optimizer is None:
        return _write_policy(setup)
    inner = parts.in_line(setup.optimizer, TF24)
    optimizer: Any = {"class_name": inner.class_name, "config": inner.get_config(TF24)}
    if setup.dtypes is not None and setup.scaling == "dynamic" and setup.known_rule.growth_factor != 2:
        # No wrapper takes such a multiplier; a policy does.
        return {"policy": _write_policy(setup), "optimizer": optimizer}
    if setup.scaling in ("fixed", "dynamic"):
        wrapper = LossScaleOptimizer(inner, **parts.wrapper_settings(setup))
        optimizer = {"class_name": wrapper.class_name, "config": wrapper.get_config()}
    if setup.dtypes is None:
        return optimizer
    return {"policy": _policy_of(setup.dtypes, setup.scaling == "none"), "optimizer": optimizer}


def _policy_of(dtypes: Dtypes, unscaled: bool) -> Any:
    """Return a plain policy, or one that switches scaling off where a plain one would switch it on."""
    name = parts.policy_name(dtypes, "_infer")
    if unscaled and name == "mixed_float16":
        return tf24.serialize_policy(PolicyV1(name, None))
    return _plain(name)


def _plain(name: str) -> Any:
    """Return a plain policy; "_infer" by its name, because null stands for the default policy in a setup."""
    return name if name == "_infer" else tf24.serialize_policy(Policy(name))


def _write_policy(setup: Setup) -> Any:
    scale = loss_scale_of(setup)
    if setup.dtypes is None:
        return loss_scale.serialize(scale) if setup.scaling != "none" else {"loss_scale": None}
    name = parts.policy_name(setup.dtypes, "_infer")
    if setup.scaling == "unsaid":
        return tf24.serialize_policy(PolicyV1(name, None)) if name == "mixed_float16" else _plain(name)
    if PolicyV1(name).loss_scale == scale:
        return _plain(name)
    return tf24.serialize_policy(PolicyV1(name, scale))


def loss_scale_of(setup: Setup) -> LossScale | None:
    """Return the nearest loss scale of TF; None where the loss is not scaled."""
    if setup.rule is None:
        return None
    rule = setup.rule
    if setup.scaling == "fixed":
        return FixedLossScale(max(rule.initial_scale, 1.0))
    return DynamicLossScale(rule.initial_scale, steps(rule), rule.growth_factor)


def warnings(setup: Setup) -> tuple[Remark, ...]:
    """Return what TF 2.4 does with the written config that it does not say."""
    has_policy = setup.optimizer is None or setup.dtypes is not None
    if has_policy and setup.scaling == "dynamic" and setup.known_rule.growth_factor != 2:
        text = "Model.compile of TF 2.4 refuses a policy whose loss scale has a multiplier other than 2."
        return (Remark("refused_when_compiled", text, None),)
    return ()
