"""fairseq: its arguments, and the state of its scaler under ``state``.

Config: arguments by name, with underscores or as flags, alone or in the groups of its YAML files (``common``,
``optimization``, ``distributed_training``, all of them also under ``fairseq``); or a command line, as a text or a list
of words. Other arguments may stand beside those of precision.
Source: ``fairseq/dataclass/configs.py``, ``trainer.py``, ``optim/fp16_optimizer.py``, ``optim/amp_optimizer.py`` and
``optim/dynamic_loss_scaler.py`` at 3d262bb2.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from engine import scaler_rules
from engine.errors import InvalidValue
from engine.scaler import ScalerRule, ScalerState
from engine.serialization.translate.arguments import Arguments, arguments_of
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import NEVER, Dtypes, Reading, Setup, steps

LIMITS = {
    "scaling": "fairseq always moves its scale; here its first growth lies beyond any training",
    "initial_scale": "`fp16_init_scale` is an integer; the nearest one was taken",
}
_GROUPS = ("common", "optimization", "distributed_training")
_HALVES = ("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16", "amp")
_WORKERS = ("distributed_world_size", "update_freq", "model_parallel_size")
_AMP = ("amp_batch_retries", "amp_init_scale", "amp_scale_window")
_SCALER = ("fp16_scale_window", "fp16_scale_tolerance", "threshold_loss_scale")
_SHARED = ("fp16_init_scale", "min_loss_scale")
_ARGUMENTS = (*_HALVES, *_SCALER, *_SHARED, *_AMP, *_WORKERS, "fp16_no_flatten_grads", "on_cpu_convert_precision")


def read(config: Any) -> Reading:
    """Read a config."""
    groups = (*_GROUPS, *(f"fairseq.{group}" for group in _GROUPS))
    found = arguments_of("fairseq's arguments", config, (*_ARGUMENTS, "state"), groups=groups)
    fields = found.fields
    fields.aside("fp16_no_flatten_grads", "how gradients lie in memory")
    fields.aside("on_cpu_convert_precision", "where inputs are cast")
    for key in _WORKERS:
        fields.aside(key, "how the work is shared out")
    if fields.flag("amp"):
        return _read_amp(found)
    for key in _AMP:
        fields.ignore(key, "amp is switched off")
    dtypes = _dtypes(fields)
    if dtypes.compute != "float16" or fields.flag("bf16"):
        for key in (*_SCALER, *_SHARED, "state"):
            fields.ignore(key, "the loss is scaled for fp16 alone")
        return found.reading(Setup(dtypes, "none"))
    rule = _rule(fields)
    if not fields.has("state"):
        return found.reading(Setup(dtypes, "dynamic", rule))
    state = Fields("state", fields.inner("state"), ("loss_scale",), fields.path("state"))
    scale = state.number("loss_scale", rule.initial_scale, "state.loss_scale")
    return found.reading(Setup(dtypes, "dynamic", rule, ScalerState(scale)), state)


def _dtypes(fields: Fields) -> Dtypes:
    lean = {name: fields.flag(f"memory_efficient_{name}") for name in ("fp16", "bf16")}
    enabled = [name for name in lean if fields.flag(name) or lean[name]]
    for key in ("memory_efficient_fp16", "memory_efficient_bf16"):
        fields.says("variable_dtype", key)
    if not enabled:
        for name in ("bf16", "fp16"):
            fields.says("compute_dtype", name)
        return Dtypes("float32", "float32", "model")
    name = enabled[0]
    if len(enabled) > 1:
        text = (
            "fairseq does not refuse fp16 with bf16: the model is cast to float16, and because of bf16 its loss is not "
            "scaled. Leave one of them out."
        )
        fields.says("scaling", "bf16")
        fields.remark("bf16" if fields.has("bf16") else "memory_efficient_bf16", "both_halves", text)
    dtype = {"fp16": "float16", "bf16": "bfloat16"}[name]
    for key in (f"memory_efficient_{name}", name):
        if fields.flag(key):
            fields.says("compute_dtype", key)
    fields.says("variable_dtype", f"memory_efficient_{name}")
    return Dtypes(dtype, dtype if lean[name] else "float32", "model")


def _rule(fields: Fields) -> ScalerRule:
    rule = scaler_rules.fairseq(
        init_scale=float(fields.whole("fp16_init_scale", 2**7, "initial_scale", low=1)),
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
    return rule


def _window(fields: Fields) -> int:
    """Return the window, whose default shrinks with the number of workers and accumulated batches."""
    if fields.has("fp16_scale_window"):
        return fields.whole("fp16_scale_window", 1, "growth_interval", low=1)
    fields.ignore("fp16_scale_window", "null takes the default")
    frequency = fields.value("update_freq", [1])
    first = frequency[0] if isinstance(frequency, list) and frequency else frequency
    number = re.search(r"\d+", first) if isinstance(first, str) else None
    first = int(number.group()) if number else first
    accumulated = first if isinstance(first, int) and not isinstance(first, bool) and first > 0 else 1
    workers = fields.whole("distributed_world_size", 1, low=1) // fields.whole("model_parallel_size", 1, low=1)
    for key in _WORKERS:
        fields.says("growth_interval", key)
    return max(int(2**14 / max(workers, 1) / accumulated), 1)


def _read_amp(found: Arguments) -> Reading:
    """Read ``--amp``: torch's autocast and GradScaler, of which fairseq sets two arguments, one of them by mistake."""
    fields = found.fields
    if fields.flag("fp16") or fields.flag("memory_efficient_fp16"):
        text = "fairseq refuses fp16 with amp: leave one of them out."
        raise InvalidValue(text, code="both_halves", path=tuple(fields.path("amp").split(".")))
    for fact in ("compute_dtype", "casting", "scaling"):
        fields.says(fact, "amp")
    variable = "bfloat16" if fields.flag("bf16") or fields.flag("memory_efficient_bf16") else "float32"
    for key in ("bf16", "memory_efficient_bf16"):
        fields.says("variable_dtype", key)
    for key in ("fp16", "memory_efficient_fp16", *_SCALER, "state"):
        fields.ignore(key, "amp decides")
    fields.adds("amp_batch_retries", "how often a batch with nonfinite gradients is tried again")
    interval = 2000
    if fields.has("amp_scale_window"):
        interval = fields.whole("amp_init_scale", 2**7, "growth_interval", low=0)
        text = (
            "fairseq does not use this window: where it is given, the scale grows after `amp_init_scale` finite steps, "
            f"so {interval}."
        )
        fields.remark("amp_scale_window", "mistake_of_the_original", text)
        fields.ignore("amp_scale_window", "`amp_init_scale` is taken in its place")
    else:
        fields.ignore("amp_init_scale", "the first scale is `fp16_init_scale`, under amp too")
        fields.ignore("amp_scale_window", "null takes the default of torch")
    rule = dataclasses.replace(
        scaler_rules.torch(float(fields.whole("fp16_init_scale", 2**7, "initial_scale", low=1)), 2.0, 0.5, interval),
        floor=fields.number("min_loss_scale", 1e-4, "floor", zero=True),
        at_floor="stop_below",
    )
    return found.reading(Setup(Dtypes("float16", variable, "ops"), "dynamic", rule))


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
    if _is_amp(setup):
        window = {} if steps(rule) == 2000 else {"amp_init_scale": steps(rule), "amp_scale_window": steps(rule)}
        floor = {"min_loss_scale": rule.floor}
        return {"amp": True, "fp16_init_scale": max(round(rule.initial_scale), 1), **window, **floor}
    fixed = setup.scaling == "fixed"
    config |= {
        "fp16_init_scale": max(round(rule.initial_scale), 1),
        "fp16_scale_window": NEVER if fixed else steps(rule),
        "fp16_scale_tolerance": rule.tolerance,
        **_floor(rule),
    }
    return config if setup.state is None else {**config, "state": {"loss_scale": setup.state.loss_scale}}


def _is_amp(setup: Setup) -> bool:
    """Whether a setup is what ``--amp`` does: no other system stops a run below a floor with torch's scaler."""
    rule = setup.known_rule
    return rule.at_floor == "stop_below" and rule.arithmetic == "mixed"


def _floor(rule: ScalerRule) -> dict[str, Any]:
    if rule.floor is None or rule.at_floor != "clamp":
        return {"min_loss_scale": rule.floor or 0.0}
    return {"min_loss_scale": min(1e-4, rule.floor / 2), "threshold_loss_scale": rule.floor}
