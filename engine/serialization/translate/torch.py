"""torch: ``torch.autocast`` and ``torch.amp.GradScaler``, its arguments or its ``state_dict()``.

Config: ``{"autocast": {"dtype", ...}, "grad_scaler": {...}}``, or the arguments or state of a GradScaler alone.
Source: ``torch/amp/grad_scaler.py`` of torch 2.13.
"""

from __future__ import annotations

from typing import Any

from engine import scaler_rules
from engine.scaler import ScalerRule, ScalerState, float32
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import Dtypes, Reading, Setup, backoff

LIMITS = {
    "scaling": "a GradScaler always moves its scale; here its first growth lies beyond any training",
    "initial_scale": "a state holds the scale of the moment in its place",
}
_NEVER = 2**31 - 1
_FACTORS = ("growth_factor", "backoff_factor", "growth_interval")
_ARGUMENTS = ("device", "init_scale", *_FACTORS, "enabled")
_STATE = ("scale", *_FACTORS, "_growth_tracker")
_AUTOCAST = ("device_type", "dtype", "enabled", "cache_enabled")


def read(config: Any) -> Reading:
    """Read a config."""
    compound = isinstance(config, dict) and ({"autocast", "grad_scaler"} & config.keys() or not config)
    if not compound:
        setup, fields = _read_scaler(config, "")
        return Reading(setup, fields.paths, fields.ignored)
    whole = Fields("A torch setup", config, ("autocast", "grad_scaler"))
    dtypes, cast = _read_autocast(whole.inner("autocast")) if whole.has("autocast") else (None, {})
    if not whole.has("grad_scaler"):
        return Reading(Setup(dtypes, "none" if dtypes else "unsaid"), cast)
    setup, fields = _read_scaler(whole.inner("grad_scaler"), "grad_scaler")
    ignored = {"autocast.device_type": "a device, no precision", "autocast.cache_enabled": "only about speed"}
    return Reading(
        Setup(dtypes, setup.scaling, setup.rule, setup.state), {**cast, **fields.paths}, {**ignored, **fields.ignored}
    )


def _read_autocast(config: Any) -> tuple[Dtypes, dict[str, Any]]:
    fields = Fields("autocast", config, _AUTOCAST, "autocast")
    dtype = fields.one_of("dtype", "float16", ("float16", "bfloat16"), "compute_dtype")
    if not fields.flag("enabled", True):
        dtype = "float32"
        fields.says("compute_dtype", "enabled")
    return Dtypes(dtype, "float32", "ops"), fields.paths


def _read_scaler(config: Any, prefix: str) -> tuple[Setup, Fields]:
    is_state = isinstance(config, dict) and "scale" in config
    fields = Fields("GradScaler", config, _STATE if is_state else _ARGUMENTS, prefix)
    fields.ignore("device", "a device, no precision")
    if not fields.flag("enabled", True, "scaling"):
        for key in ("init_scale", *_FACTORS):
            fields.ignore(key, "the GradScaler is switched off")
        return Setup(scaling="none"), fields
    rule = scaler_rules.torch(
        float32(fields.number("scale" if is_state else "init_scale", 2.0**16, "initial_scale")),
        fields.number("growth_factor", 2.0, "growth_factor", low=1.0),
        fields.number("backoff_factor", 0.5, "backoff_factor"),
        fields.whole("growth_interval", 2000, "growth_interval", low=1),
    )
    if not is_state:
        return Setup(scaling="dynamic", rule=rule), fields
    counter = fields.whole("_growth_tracker", 0, "state.counter")
    fields.says("state.loss_scale", "scale")
    return Setup(scaling="dynamic", rule=rule, state=ScalerState(rule.initial_scale, counter)), fields


def write(setup: Setup) -> dict[str, Any]:
    """Return the autocast, and the arguments of a GradScaler or its state."""
    config: dict[str, Any] = {}
    if setup.dtypes is not None:
        compute = setup.dtypes.compute
        low = compute in ("float16", "bfloat16")
        config["autocast"] = {"dtype": compute} if low else {"enabled": False}
    if setup.scaling == "none":
        config["grad_scaler"] = {"enabled": False}
    elif setup.rule is not None:
        config["grad_scaler"] = _write_scaler(setup.rule, setup.state, setup.scaling == "fixed")
    return config


def _write_scaler(rule: ScalerRule, state: ScalerState | None, fixed: bool) -> dict[str, Any]:
    factors = {
        "growth_factor": 2.0 if fixed else rule.growth_factor,
        "backoff_factor": backoff(rule),
        "growth_interval": _NEVER if fixed else max(int(rule.growth_interval), 1),
    }
    if state is None:
        return {"init_scale": float32(rule.initial_scale), **factors}
    return {"scale": float32(state.loss_scale), **factors, "_growth_tracker": max(state.counter, 0)}
