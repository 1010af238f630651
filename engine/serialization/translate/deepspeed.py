"""DeepSpeed: the blocks ``fp16`` and ``bf16`` of its config, and the stage of ZeRO, which decides on the rule.

Config: a DeepSpeed config, of which other blocks are left alone, or the block ``fp16`` alone, which is without ZeRO.
Source: ``deepspeed/runtime/config.py`` and ``precision_config.py``, and ``runtime/fp16`` at edaa7221, whose optimizer
without ZeRO ignores the hysteresis.
"""

from __future__ import annotations

import math
from typing import Any

from engine import scaler_rules
from engine.scaler import ScalerRule
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import Dtypes, Reading, Setup

LIMITS = {"initial_scale": "`initial_scale_power` holds powers of two; the nearest one was taken"}
_FP16 = (
    *("enabled", "auto_cast", "loss_scale", "initial_scale_power", "loss_scale_window", "hysteresis"),
    *("consecutive_hysteresis", "min_loss_scale", "fp16_master_weights_and_grads"),
)
_BF16 = (
    "enabled",
    "immediate_grad_update",
    "check_grad_overflow",
    "bf16_master_weights_and_grads",
    "bf16_optimizer_states",
)
_DYNAMIC = ("initial_scale_power", "loss_scale_window", "hysteresis", "consecutive_hysteresis", "min_loss_scale")
_HALVES = ("fp16", "bf16", "zero_optimization")


def read(config: Any) -> Reading:
    """Read a config."""
    bare = isinstance(config, dict) and not set(_HALVES) & config.keys() and bool(set(_FP16) & config.keys())
    whole = Fields("A DeepSpeed config", {"fp16": config} if bare else config, _keys(config))
    fp16 = Fields("fp16", whole.inner("fp16"), _FP16, "" if bare else "fp16")
    bf16 = Fields("bf16", whole.inner("bf16"), _BF16, "bf16")
    zero = whole.inner("zero_optimization")
    sharding = Fields("zero_optimization", zero, _keys(zero), "zero_optimization")
    stage = sharding.whole("stage", 0, "at_floor")
    if fp16.flag("enabled", bare and not fp16.has("enabled"), "compute_dtype"):
        setup = _read_fp16(fp16, stage)
        zero_paths = sharding.paths if setup.scaling == "dynamic" else {}
        return Reading(setup, {**fp16.paths, **zero_paths}, _unsaid(fp16, bf16))
    for key in _FP16[1:]:
        fp16.ignore(key, "fp16 is switched off")
    if not bf16.flag("enabled", fact="compute_dtype"):
        return Reading(
            Setup(Dtypes("float32", "float32", "model"), "none"), bf16.paths or fp16.paths, _unsaid(fp16, bf16)
        )
    masters = "bfloat16" if bf16.flag("bf16_master_weights_and_grads", fact="variable_dtype") else "float32"
    return Reading(Setup(Dtypes("bfloat16", masters, "model"), "none"), bf16.paths, _unsaid(fp16, bf16))


def _keys(config: Any) -> tuple[str, ...]:
    """Return the keys of a config, all of which are accepted beside the known ones."""
    return (*_HALVES, "stage", *(config if isinstance(config, dict) else ()))


def _unsaid(fp16: Fields, bf16: Fields) -> dict[str, str]:
    fp16.ignore("auto_cast", "only about the dtype of the model's inputs")
    for key in ("immediate_grad_update", "check_grad_overflow", "bf16_optimizer_states"):
        bf16.ignore(key, "only about how gradients and optimizer states of bf16 are handled")
    return {**fp16.ignored, **bf16.ignored}


def _read_fp16(fields: Fields, stage: int) -> Setup:
    masters = "float16" if fields.flag("fp16_master_weights_and_grads", fact="variable_dtype") else "float32"
    dtypes = Dtypes("float16", masters, "model")
    fixed = fields.number("loss_scale", 0, "scaling", zero=True)
    if fixed > 0:
        fields.says("initial_scale", "loss_scale")
        for key in _DYNAMIC:
            fields.ignore(key, "the loss scale is fixed")
        return Setup(dtypes, "fixed", _fixed(fixed))
    return Setup(dtypes, "dynamic", _dynamic(fields, stage))


def _fixed(scale: float) -> ScalerRule:
    # Nonfinite gradients are looked for, and skip the step, under a fixed scale too.
    return ScalerRule(initial_scale=scale, growth_factor=1.0, backoff_factor=1.0)


def _dynamic(fields: Fields, stage: int) -> ScalerRule:
    scale = 2.0 ** fields.whole("initial_scale_power", 16, "initial_scale", low=-126, high=127)
    window = fields.whole("loss_scale_window", 1000, "growth_interval", low=1)
    floor = fields.number("min_loss_scale", 1.0, "floor")
    if stage == 0:
        for key in ("hysteresis", "consecutive_hysteresis"):
            fields.ignore(key, "DeepSpeed's optimizer without ZeRO ignores it")
        return scaler_rules.deepspeed_fused(scale, window, floor)
    return scaler_rules.deepspeed_zero(
        scale,
        window,
        floor,
        fields.whole("hysteresis", 2, "hysteresis", low=1),
        consecutive_hysteresis=fields.flag("consecutive_hysteresis", fact="refill"),
    )


def write(setup: Setup) -> dict[str, Any]:
    """Return the blocks for dtypes and scaling; with ZeRO where the rule has a hysteresis or stops at its floor."""
    compute = "float16" if setup.dtypes is None else setup.dtypes.compute
    if compute == "bfloat16":
        assert setup.dtypes is not None
        masters = {"bf16_master_weights_and_grads": True} if setup.dtypes.variable == "bfloat16" else {}
        return {"bf16": {"enabled": True, **masters}}
    if compute != "float16":
        return {"fp16": {"enabled": False}}
    masters = {"fp16_master_weights_and_grads": True} if setup.dtypes and setup.dtypes.variable == "float16" else {}
    block: dict[str, Any] = {"enabled": True, **masters}
    if setup.scaling in ("none", "unsaid"):
        return {"fp16": {**block, "loss_scale": 1.0}} if setup.scaling == "none" else {"fp16": block}
    rule = setup.known_rule
    if setup.scaling == "fixed":
        return {"fp16": {**block, "loss_scale": rule.initial_scale}}
    return _write_dynamic(block, rule)


def _write_dynamic(block: dict[str, Any], rule: ScalerRule) -> dict[str, Any]:
    power = round(math.log2(rule.initial_scale)) if rule.initial_scale > 0 else 0
    block |= {
        "loss_scale": 0,
        "initial_scale_power": max(power, -126),
        "loss_scale_window": max(int(rule.growth_interval), 1),
        "min_loss_scale": rule.floor or 2.0**-126,
    }
    if rule.hysteresis == 1 and rule.at_floor == "clamp":
        return {"fp16": block, "zero_optimization": {"stage": 0}}
    block |= {"hysteresis": rule.hysteresis, "consecutive_hysteresis": rule.refill == "finite"}
    return {"fp16": block, "zero_optimization": {"stage": 1}}
