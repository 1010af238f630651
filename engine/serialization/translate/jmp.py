"""jmp: a policy as a string, and a loss scale, which is its own state.

Config: ``{"policy": "params=float32,compute=float16,output=float32", "loss_scale": {"class_name", ...}}``.
Source: ``jmp/_src/policy.py`` and ``loss_scale.py`` at 9c1cdbbf.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine import scaler_rules
from engine.errors import InvalidValue
from engine.scaler import ScalerRule, ScalerState, float32
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import Dtypes, Reading, Remark, Setup, growing, steps

LIMITS = {"initial_scale": "the loss scale is its own state: the scale of the moment stands in its place"}
_HALF = "half"
_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("bfloat16", "bf16"), "bfloat16"),
        **dict.fromkeys(("float16", "f16", "half"), "float16"),
        **dict.fromkeys(("float32", "f32", "full"), "float32"),
        **dict.fromkeys(("float64", "f64"), "float64"),
    }
)
_PARTS = {"p": "params", "params": "params", "c": "compute", "compute": "compute", "o": "output", "output": "output"}
_DYNAMIC = ("loss_scale", "counter", "period", "factor", "min_loss_scale")


def read(config: Any) -> Reading:
    """Read a config."""
    if isinstance(config, str):
        return Reading(Setup(_policy(config, ())), _policy_paths(""), remarks=_remarks(config, ()))
    whole = Fields("A jmp setup", config, ("policy", "loss_scale"))
    dtypes = _policy(whole.value("policy", ""), ("policy",)) if whole.has("policy") else None
    paths = _policy_paths("policy") if dtypes else {}
    remarks = _remarks(whole.value("policy", ""), ("policy",)) if dtypes else ()
    if not whole.has("loss_scale"):
        return Reading(Setup(dtypes), paths, remarks=remarks)
    fields = Fields("loss_scale", whole.inner("loss_scale"), ("class_name", *_DYNAMIC), "loss_scale")
    kind = fields.one_of("class_name", "", ("NoOpLossScale", "StaticLossScale", "DynamicLossScale"), "scaling")
    setup = _READERS[kind](fields)
    setup = Setup(dtypes, setup.scaling, setup.rule, setup.state)
    return Reading(setup, {**paths, **fields.paths}, fields.ignored, remarks=remarks)


def _remarks(text: Any, path: tuple[str, ...]) -> tuple[Remark, ...]:
    """Return what to know of a policy whose dtype depends on the device."""
    if _HALF not in re.split("[=,]", str(text)):
        return ()
    return (Remark("device_decides", "jmp reads `half` as bfloat16 on a TPU; it is read as float16 here.", path),)


def _policy(text: Any, path: tuple[str, ...]) -> Dtypes:
    """Return the dtypes of a policy string: one dtype for all parts, or parts by name.

    Parameters that are not given are float32, compute follows parameters, and output follows compute.
    """
    if isinstance(text, str) and text in _NAMES:
        return Dtypes(_NAMES[text], _NAMES[text], "explicit")
    found: dict[str, str] = {}
    for part in text.split(",") if isinstance(text, str) else (text,):
        key, _, name = str(part).partition("=")
        if key not in _PARTS or name not in _NAMES:
            raise InvalidValue(
                f"A jmp policy is a dtype ({', '.join(_NAMES)}) or like 'params=float32,compute=float16,"
                f"output=float32', in lower case and without spaces, but got: {text!r}",
                code="unknown_policy",
                path=path,
            )
        found[_PARTS[key]] = _NAMES[name]
    params = found.get("params", "float32")
    compute = found.get("compute", params)
    return Dtypes(compute, params, "explicit", found.get("output", compute))


def _policy_paths(path: str) -> dict[str, Any]:
    return dict.fromkeys(("compute_dtype", "variable_dtype", "output_dtype"), path)


def _no_op(fields: Fields) -> Setup:
    for key in _DYNAMIC:
        fields.ignore(key, "a NoOpLossScale has no settings")
    return Setup(scaling="none")


def _static(fields: Fields) -> Setup:
    for key in _DYNAMIC[1:]:
        fields.ignore(key, "a StaticLossScale has no such setting")
    return Setup(scaling="fixed", rule=scaler_rules.fixed(float32(fields.number("loss_scale", 1.0, "initial_scale"))))


def _dynamic(fields: Fields) -> Setup:
    scale = float32(fields.number("loss_scale", 2.0**15, "initial_scale"))
    rule = scaler_rules.jmp(
        scale,
        fields.whole("period", 2000, "growth_interval", low=1),
        fields.number("factor", 2.0, "growth_factor", low=1.0),
        fields.number("min_loss_scale", 1.0, "floor"),
    )
    if not fields.has("counter"):
        return Setup(scaling="dynamic", rule=rule)
    fields.says("state.loss_scale", "loss_scale")
    return Setup(scaling="dynamic", rule=rule, state=ScalerState(scale, fields.whole("counter", 0, "state.counter")))


_READERS = {"NoOpLossScale": _no_op, "StaticLossScale": _static, "DynamicLossScale": _dynamic}


def write(setup: Setup) -> dict[str, Any]:
    """Return the policy and the loss scale."""
    config: dict[str, Any] = {}
    if setup.dtypes is not None:
        names = {"params": setup.dtypes.variable, "compute": setup.dtypes.compute}
        names["output"] = setup.dtypes.output or setup.dtypes.compute
        parts = [f"{part}={name if name in _NAMES else 'float32'}" for part, name in names.items()]
        config["policy"] = ",".join(parts)
    if setup.scaling != "unsaid":
        config["loss_scale"] = _write_scale(setup)
    return config


def _write_scale(setup: Setup) -> dict[str, Any]:
    if setup.scaling == "none":
        return {"class_name": "NoOpLossScale"}
    rule: ScalerRule = setup.known_rule
    if setup.scaling == "fixed":
        return {"class_name": "StaticLossScale", "loss_scale": float32(rule.initial_scale)}
    moved = {} if setup.state is None else {"counter": max(setup.state.counter, 0)}
    return {
        "class_name": "DynamicLossScale",
        "loss_scale": float32(rule.initial_scale if setup.state is None else setup.state.loss_scale),
        **moved,
        "period": steps(rule),
        "factor": growing(rule),
        "min_loss_scale": rule.floor or 2.0**-126,
    }
