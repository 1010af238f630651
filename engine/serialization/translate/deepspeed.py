"""DeepSpeed: what its config says of precision, and the stage of ZeRO, which decides on the rule.

Config: a DeepSpeed config, of which other blocks are left alone, or the block ``fp16`` alone, which is without ZeRO.
Words of GPT-NeoX, whose files hold a DeepSpeed config, are read too, and a warning says so.
Source: ``deepspeed/runtime/config.py``, ``precision_config.py``, ``engine.py``, ``torch_autocast.py``, ``zero`` and
``fp16`` at edaa7221, whose optimizer without ZeRO ignores the hysteresis; ``megatron/neox_arguments`` of GPT-NeoX.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from engine import scaler_rules
from engine.errors import InvalidValue
from engine.scaler import ScalerRule
from engine.serialization.translate import apex, deepspeed_auto
from engine.serialization.translate.deepspeed_blocks import Blocks, note_further
from engine.serialization.translate.setup import Dtypes, Reading, Setup, steps

LIMITS = {
    "initial_scale": "`initial_scale_power` holds powers of two; the nearest one was taken",
    "floor": "`min_loss_scale` is an integer of at least 1; the nearest one was taken",
}
_DYNAMIC = ("initial_scale_power", "loss_scale_window", "hysteresis", "consecutive_hysteresis", "min_loss_scale")
_FLOAT32 = Dtypes("float32", "float32", "model")


def read(config: Any) -> Reading:
    """Read a config."""
    blocks = Blocks.of(deepspeed_auto.without(config))
    blocks.zero.aside("stage", "how gradients, weights and the optimizer's state are shared out")
    half = _half(blocks)
    if blocks.amp.flag("enabled"):
        found = _read_amp(blocks, half)
    else:
        setup = _SETUPS[half](blocks) if half else _disabled(blocks)
        found = blocks.reading(_autocast(blocks, setup))
    note_further(blocks, found.setup)
    every = blocks.reading(found.setup)
    ignored = {**every.ignored, **found.ignored, **deepspeed_auto.unfilled(config, blocks=True)}
    beside = {**every.beside, **found.beside, **deepspeed_auto.unfilled(config, blocks=False)}
    return Reading(
        found.setup,
        paths=found.paths,
        ignored=ignored,
        beside={path: about for path, about in beside.items() if path not in ignored},
        further={**every.further, **found.further},
        remarks=(*dict.fromkeys((*found.remarks, *every.remarks)), *deepspeed_auto.remarks(config)),
        seen=every.seen | found.seen,
    )


def _half(blocks: Blocks) -> str:
    """Return which half is enabled: "fp16", "bf16" or none."""
    named = blocks.named_precision()
    enabled = {
        "fp16": blocks.fp16.flag("enabled", blocks.bare and not blocks.fp16.has("enabled"), "compute_dtype"),
        "bf16": blocks.bf16.flag("enabled", fact="compute_dtype"),
    }
    if enabled["fp16"] and named is None and blocks.is_older_bfloat16():
        blocks.fp16.ignore("enabled", "`type` decides")
        blocks.fp16.says("compute_dtype", "type")
        blocks.whole.paths["compute_dtype"] = blocks.fp16.path("type")
        return "bf16"
    if named is not None:
        other = [half for half, on in enabled.items() if on and half != named]
        if other:
            text = f"GPT-NeoX refuses a `precision` that conflicts with {other[0]}.enabled, which is true."
            raise InvalidValue(text, code="both_halves", path=("precision",))
        for fields in (blocks.fp16, blocks.bf16) if blocks.whole.has("precision") else ():
            fields.paths.pop("compute_dtype", None)
            fields.ignore("enabled", "`precision` decides")
        return named
    if all(enabled.values()):
        raise InvalidValue(
            "fp16 and bf16 are both enabled, which DeepSpeed refuses: set one of them to false.",
            code="both_halves",
            path=(blocks.bf16_key, "enabled"),
        )
    return next((half for half, on in enabled.items() if on), "")


def _disabled(blocks: Blocks) -> Setup:
    paths = {**blocks.fp16.paths, **blocks.bf16.paths}
    for fields in (blocks.fp16, blocks.bf16):
        fields.ignore_all("it is switched off")
    blocks.whole.paths.update({**paths, **blocks.whole.paths})
    return Setup(_FLOAT32, "none")


def _fp16(blocks: Blocks) -> Setup:
    blocks.bf16.ignore_all("fp16 is enabled and decides")
    fields = blocks.fp16
    low_masters = fields.flag("fp16_master_weights_and_grads", fact="variable_dtype")
    if low_masters:
        blocks.needs_zero(fields, "fp16_master_weights_and_grads")
    dtypes = Dtypes("float16", "float16" if low_masters else "float32", "model")
    fields.adds("auto_cast", "whether the model's inputs are cast to float16")
    fixed = fields.number("loss_scale", 0, "scaling", zero=True)
    if fixed > 0:
        fields.says("initial_scale", "loss_scale")
        for key in _DYNAMIC:
            fields.ignore(key, "the loss scale is fixed")
        # Nonfinite gradients are looked for, and skip the step, under a fixed scale too.
        return Setup(dtypes, "fixed", ScalerRule(initial_scale=fixed, growth_factor=1.0, backoff_factor=1.0))
    return Setup(dtypes, "dynamic", _dynamic(blocks))


def _dynamic(blocks: Blocks) -> ScalerRule:
    fields = blocks.fp16
    scale = 2.0 ** fields.whole("initial_scale_power", 16, "initial_scale", low=-126, high=127)
    window = fields.whole("loss_scale_window", 1000, "growth_interval", low=1)
    floor = fields.whole("min_loss_scale", 1, "floor", low=1)
    hysteresis = fields.whole("hysteresis", 2, low=-math.inf)
    consecutive = fields.flag("consecutive_hysteresis")
    blocks.zero.says("at_floor", "stage")
    if blocks.stage == 0:
        for key in ("hysteresis", "consecutive_hysteresis"):
            fields.ignore(key, "DeepSpeed's optimizer without ZeRO ignores it")
        return scaler_rules.deepspeed_fused(scale, window, float(floor))
    fields.says("hysteresis", "hysteresis")
    fields.says("refill", "consecutive_hysteresis")
    if hysteresis < 1:
        text = (
            f"A hysteresis of {hysteresis} never counts down to 1, so the scale never shrinks: after an overflow that "
            "stays, every step is skipped."
        )
        fields.remark("hysteresis", "never_shrinks", text)
    return scaler_rules.deepspeed_zero(scale, window, float(floor), hysteresis, consecutive_hysteresis=consecutive)


def _bf16(blocks: Blocks) -> Setup:
    blocks.fp16.ignore_all("bf16 is enabled and decides")
    fields = blocks.bf16
    low_masters = fields.flag("bf16_master_weights_and_grads", fact="variable_dtype")
    for key in ("bf16_master_weights_and_grads", "bf16_optimizer_states"):
        if fields.flag(key):
            blocks.needs_zero(fields, key)
    if fields.flag("bf16_optimizer_states") and not low_masters:
        text = "DeepSpeed refuses bf16_optimizer_states without bf16_master_weights_and_grads: enable both or neither."
        raise InvalidValue(text, path=(blocks.bf16_key, "bf16_optimizer_states"))
    fields.adds("bf16_optimizer_states", "whether the optimizer's moments are kept in bfloat16")
    fields.aside("immediate_grad_update", "when gradients are added to those that were accumulated")
    dtypes = Dtypes("bfloat16", "bfloat16" if low_masters else "float32", "model")
    return Setup(dtypes, "none", checked=_bf16_checked(blocks))


def _bf16_checked(blocks: Blocks) -> bool:
    """Whether a step with nonfinite gradients is skipped, though nothing is scaled."""
    fields = blocks.bf16
    wanted = fields.flag("check_grad_overflow", default=True)
    if blocks.stage == 0:
        fields.ignore("check_grad_overflow", "only ZeRO's optimizers look at it")
        return False
    if blocks.stage == 3 or (blocks.stage == 1 and blocks.grad_dtype() == "float32" and not blocks.offloads()):
        fields.ignore("check_grad_overflow", "this optimizer looks at the norm of the gradients in any case")
        return True
    blocks.zero.says("checked", "stage")
    fields.says("checked", "check_grad_overflow")
    return wanted


_SETUPS = {"fp16": _fp16, "bf16": _bf16}


def _autocast(blocks: Blocks, setup: Setup) -> Setup:
    """Return a setup with what ``torch_autocast`` makes of it."""
    fields = blocks.autocast
    enabled = fields.value("enabled", default=False)
    if not enabled:
        fields.ignore_all("torch_autocast is switched off")
        return setup
    if isinstance(enabled, str):
        text = f"DeepSpeed takes any text here, {enabled!r} too, for true."
        fields.remark("enabled", "text_is_true", text)
    blocks.check_unquantized()
    fields.adds("lower_precision_safe_modules", "of which modules gradients and parameters are communicated so")
    dtype = blocks.autocast_dtype()
    assert setup.dtypes is not None, "a DeepSpeed config always says its dtypes"
    if setup.dtypes.compute != "float32":
        # The model is cast already; the ops inside are cast once more.
        fields.adds("enabled", "whether ops are autocast besides")
        fields.adds("dtype", "the dtype in which ops are autocast besides")
        return setup
    fields.says("compute_dtype", "dtype" if fields.has("dtype") else "enabled")
    fields.says("casting", "enabled")
    found = Setup(Dtypes(dtype, "float32", "ops"), "none")
    if dtype != "float16" or not fields.has("dtype"):
        return found
    fields.says("scaling", "dtype")
    if blocks.stage:
        text = "ZeRO's optimizers step a GradScaler of their own here; it is read as one of default arguments."
        fields.remark("dtype", "scaler_of_zero", text)
    return Setup(found.dtypes, "dynamic", scaler_rules.torch())


def _read_amp(blocks: Blocks, half: str) -> Reading:
    if half or blocks.stage:
        rival = half or "ZeRO"
        text = f"DeepSpeed refuses `amp` (Apex) together with {rival}: enable one of them."
        raise InvalidValue(text, code="both_halves", path=("amp", "enabled"))
    blocks.amp.remark(
        "enabled",
        "removed_setting",
        "DeepSpeed 0.19 and later refuse `amp`: Apex was removed from it. Earlier ones call amp.initialize with it.",
    )
    for fields in (blocks.fp16, blocks.bf16):
        fields.ignore_all("it is switched off")
    given = {key: value for key, value in blocks.amp.settings.items() if key != "enabled"}
    found = apex.read_at(given, "amp")
    return replace(found, paths={**found.paths, "casting": "amp.enabled"})


def write(setup: Setup) -> dict[str, Any]:
    """Return the blocks for dtypes and scaling; with ZeRO where the setup needs it."""
    compute = "float16" if setup.dtypes is None else setup.dtypes.compute
    if compute == "bfloat16":
        return _write_bf16(setup)
    if compute != "float16":
        return {"fp16": {"enabled": False}}
    low_masters = setup.dtypes is not None and setup.dtypes.variable == "float16"
    masters = {"fp16_master_weights_and_grads": True} if low_masters else {}
    zero = {"zero_optimization": {"stage": 1}} if low_masters else {}
    block: dict[str, Any] = {"enabled": True, **masters}
    if setup.scaling in ("none", "unsaid"):
        return {"fp16": {**block, "loss_scale": 1.0} if setup.scaling == "none" else block, **zero}
    rule = setup.known_rule
    if setup.scaling == "fixed":
        return {"fp16": {**block, "loss_scale": rule.initial_scale}, **zero}
    return {**_write_dynamic(block, rule), **zero}


def _write_bf16(setup: Setup) -> dict[str, Any]:
    block: dict[str, Any] = {"enabled": True}
    if setup.dtypes is not None and setup.dtypes.variable == "bfloat16":
        block["bf16_master_weights_and_grads"] = True
    if setup.checked is not None and (setup.checked or len(block) > 1):
        block["check_grad_overflow"] = setup.checked
    # Both settings act under ZeRO alone, and the first is refused without it.
    return {"bf16": block, "zero_optimization": {"stage": 1}} if len(block) > 1 else {"bf16": block}


def _write_dynamic(block: dict[str, Any], rule: ScalerRule) -> dict[str, Any]:
    power = round(math.log2(rule.initial_scale)) if rule.initial_scale > 0 else 0
    block |= {
        "loss_scale": 0,
        "initial_scale_power": min(max(power, -126), 127),
        "loss_scale_window": steps(rule),
        "min_loss_scale": max(round(rule.floor or 1), 1),
    }
    if rule.hysteresis == 1 and rule.at_floor == "clamp":
        return {"fp16": block, "zero_optimization": {"stage": 0}}
    block |= {"hysteresis": rule.hysteresis, "consecutive_hysteresis": rule.refill == "finite"}
    return {"fp16": block, "zero_optimization": {"stage": 1}}
