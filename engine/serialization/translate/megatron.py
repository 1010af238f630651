"""Megatron-LM: its arguments, and the state of its gradient scaler under ``grad_scaler``.

Source: ``megatron/training/arguments.py`` and ``megatron/core/optimizer/grad_scaler.py`` at d98e8a64.
"""

from __future__ import annotations

from typing import Any

from engine import scaler_rules
from engine.scaler import ScalerRule, ScalerState, float32
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import Dtypes, Reading, Setup

LIMITS: dict[str, str] = {}
_DYNAMIC = ("initial_loss_scale", "min_loss_scale", "loss_scale_window", "hysteresis")
_ARGUMENTS = ("fp16", "bf16", "loss_scale", *_DYNAMIC, "grad_scaler")
_STATE = ("scale", "growth_tracker", "hysteresis_tracker")


def read(config: Any) -> Reading:
    """Read a config."""
    fields = Fields("Megatron's arguments", config, _ARGUMENTS)
    dtypes = Dtypes(_compute(fields), "float32", "model")
    fixed = fields.has("loss_scale")
    if dtypes.compute != "float16" and not fixed:
        for key in (*_DYNAMIC, "grad_scaler"):
            fields.ignore(key, "the loss is scaled for fp16 only")
        return Reading(Setup(dtypes, "none"), fields.paths, fields.ignored)
    if fixed:
        for key in (*_DYNAMIC, "grad_scaler"):
            fields.ignore(key, "the loss scale is fixed")
        fields.says("scaling", "loss_scale")
        scale = float32(fields.number("loss_scale", 1.0, "initial_scale"))
        # Nonfinite gradients are looked for, and skip the step, under a fixed scale too.
        rule = ScalerRule(initial_scale=scale, growth_factor=1.0, backoff_factor=1.0)
        return Reading(Setup(dtypes, "fixed", rule), fields.paths, fields.ignored)
    rule = scaler_rules.megatron(
        initial_scale=float32(fields.number("initial_loss_scale", 2.0**32, "initial_scale")),
        min_scale=fields.number("min_loss_scale", 1.0, "floor"),
        growth_interval=fields.whole("loss_scale_window", 1000, "growth_interval", low=1),
        hysteresis=fields.whole("hysteresis", 2, "hysteresis", low=1),
    )
    state, paths = _read_state(fields) if fields.has("grad_scaler") else (None, {})
    return Reading(Setup(dtypes, "dynamic", rule, state), {**fields.paths, **paths}, fields.ignored)


def _compute(fields: Fields) -> str:
    if fields.flag("fp16", fact="compute_dtype"):
        return "float16"
    return "bfloat16" if fields.flag("bf16", fact="compute_dtype") else "float32"


def _read_state(outer: Fields) -> tuple[ScalerState, dict[str, Any]]:
    fields = Fields("grad_scaler", outer.inner("grad_scaler"), _STATE, "grad_scaler")
    scale = float32(fields.number("scale", 1.0, "state.loss_scale"))
    counter = fields.whole("growth_tracker", 0, "state.counter")
    tracker = fields.whole("hysteresis_tracker", 1, "state.patience", low=-(2**63))
    return ScalerState(scale, counter, max(tracker - 1, 0)), fields.paths


def write(setup: Setup) -> dict[str, Any]:
    """Return the arguments, and the state where there is one."""
    compute = "float16" if setup.dtypes is None else setup.dtypes.compute
    config: dict[str, Any] = {"fp16": compute == "float16", "bf16": compute == "bfloat16"}
    if setup.scaling == "none" and compute == "float16":
        config["loss_scale"] = 1.0
    if setup.rule is None:
        return config
    rule = setup.rule
    if setup.scaling == "fixed":
        return {**config, "loss_scale": float32(rule.initial_scale)}
    config |= {
        "initial_loss_scale": float32(rule.initial_scale),
        "min_loss_scale": rule.floor or 2.0**-126,
        "loss_scale_window": max(int(rule.growth_interval), 1),
        "hysteresis": rule.hysteresis,
    }
    if setup.state is None:
        return config
    state = setup.state
    moved = {"scale": float32(state.loss_scale), "growth_tracker": max(state.counter, 0)}
    return {**config, "grad_scaler": {**moved, "hysteresis_tracker": state.patience + 1}}
