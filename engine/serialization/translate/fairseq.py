"""fairseq: its arguments, and the state of its scaler under ``state``.

Source: ``fairseq/dataclass/configs.py``, ``optim/fp16_optimizer.py`` and ``optim/dynamic_loss_scaler.py`` at 3d262bb2.
"""

from __future__ import annotations

from typing import Any

from engine import scaler_rules
from engine.scaler import ScalerRule, ScalerState
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import Dtypes, Reading, Setup

LIMITS = {"scaling": "fairseq always moves its scale; here its first growth lies beyond any training"}
_NEVER = 2**31 - 1
_HALVES = ("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16")
_WORKERS = ("distributed_world_size", "update_freq", "model_parallel_size")
_SCALER = ("fp16_init_scale", "fp16_scale_window", "fp16_scale_tolerance", "min_loss_scale", "threshold_loss_scale")
_ARGUMENTS = (*_HALVES, *_SCALER, *_WORKERS, "fp16_no_flatten_grads", "on_cpu_convert_precision", "state")


def read(config: Any) -> Reading:
    """Read a config."""
    fields = Fields("fairseq's arguments", config, _ARGUMENTS)
    fields.ignore("fp16_no_flatten_grads", "only about how gradients lie in memory")
    fields.ignore("on_cpu_convert_precision", "only about where inputs are cast")
    dtypes = _dtypes(fields)
    if dtypes.compute != "float16":
        for key in (*_SCALER, *_WORKERS, "state"):
            fields.ignore(key, "the loss is scaled for fp16 only")
        return Reading(Setup(dtypes, "none"), fields.paths, fields.ignored)
    rule = scaler_rules.fairseq(
        init_scale=fields.number("fp16_init_scale", 2.0**7, "initial_scale"),
        scale_window=_window(fields),
        tolerance=fields.number("fp16_scale_tolerance", 0.0, "tolerance", zero=True),
        threshold=fields.number("threshold_loss_scale", 1.0, "floor") if fields.has("threshold_loss_scale") else None,
        min_loss_scale=fields.number("min_loss_scale", 1e-4, zero=True),
    )
    if "floor" in fields.paths and rule.at_floor == "clamp":
        fields.ignore("min_loss_scale", "the threshold lies above it")
    else:
        fields.says("floor", "min_loss_scale")
        fields.ignore("threshold_loss_scale", "null, or it lies below `min_loss_scale`")
    if not fields.has("state"):
        return Reading(Setup(dtypes, "dynamic", rule), fields.paths, fields.ignored)
    state = Fields("state", fields.inner("state"), ("loss_scale",), "state")
    scale = state.number("loss_scale", rule.initial_scale, "state.loss_scale")
    return Reading(Setup(dtypes, "dynamic", rule, ScalerState(scale)), {**fields.paths, **state.paths}, fields.ignored)


def _dtypes(fields: Fields) -> Dtypes:
    for name, dtype in (("fp16", "float16"), ("bf16", "bfloat16")):
        lean = fields.flag(f"memory_efficient_{name}")
        if fields.flag(name, lean, "compute_dtype") or lean:
            fields.says("variable_dtype", f"memory_efficient_{name}")
            return Dtypes(dtype, dtype if lean else "float32", "model")
    for key in _HALVES[2:]:
        fields.says("variable_dtype", key)
    return Dtypes("float32", "float32", "model")


def _window(fields: Fields) -> int:
    """Return the window, whose default shrinks with the number of workers and accumulated batches."""
    if fields.has("fp16_scale_window"):
        for key in _WORKERS:
            fields.ignore(key, "the window is given")
        return fields.whole("fp16_scale_window", 1, "growth_interval", low=1)
    fields.ignore("fp16_scale_window", "null takes the default")
    frequency = fields.value("update_freq", [1])
    first = frequency[0] if isinstance(frequency, list) and frequency else frequency
    accumulated = first if isinstance(first, int) and not isinstance(first, bool) and first > 0 else 1
    workers = fields.whole("distributed_world_size", 1, low=1) // fields.whole("model_parallel_size", 1, low=1)
    for key in _WORKERS:
        fields.says("growth_interval", key)
        fields.ignore(key, "beside the default of the window it says nothing of precision")
    return max(int(2**14 / max(workers, 1) / accumulated), 1)


def write(setup: Setup) -> dict[str, Any]:
    """Return the arguments, and the state where there is one."""
    compute = "float16" if setup.dtypes is None else setup.dtypes.compute
    if compute not in ("float16", "bfloat16"):
        return {"fp16": False, "bf16": False}
    name = "fp16" if compute == "float16" else "bf16"
    lean = {f"memory_efficient_{name}": True} if setup.dtypes and setup.dtypes.variable == compute else {}
    config: dict[str, Any] = {name: True, **lean}
    if setup.rule is None or name == "bf16":
        return config
    rule = setup.rule
    fixed = setup.scaling == "fixed"
    config |= {
        "fp16_init_scale": rule.initial_scale,
        "fp16_scale_window": _NEVER if fixed else max(int(rule.growth_interval), 1),
        "fp16_scale_tolerance": rule.tolerance,
        **_floor(rule),
    }
    return config if setup.state is None else {**config, "state": {"loss_scale": setup.state.loss_scale}}


def _floor(rule: ScalerRule) -> dict[str, Any]:
    if rule.floor is None or rule.at_floor != "clamp":
        return {"min_loss_scale": rule.floor or 0.0}
    return {"min_loss_scale": min(1e-4, rule.floor / 2), "threshold_loss_scale": rule.floor}
