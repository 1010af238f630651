"""Apex: the arguments of ``amp.initialize``, and ``amp.state_dict()`` under ``state``.

Source: ``apex/amp/frontend.py``, ``_initialize.py`` and ``scaler.py``, before amp was taken out of Apex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from engine import scaler_rules
from engine.scaler import ScalerState
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import Dtypes, Reading, Setup

LIMITS = {
    "initial_scale": "a dynamic scale starts at 2**16, or at `max_loss_scale` where that is lower",
    "growth_interval": "the window is always 2000",
}


@dataclass(frozen=True)
class _Level:
    """What an optimization level sets, until it is overridden.

    Attributes:
        cast: dtype that the whole model is cast to; None leaves it alone.
        patched: whether ops are cast instead.
        norms: whether batch normalization stays in float32.
        masters: whether the optimizer updates float32 copies of the weights.
        scale: the loss scale.
    """

    cast: str | None
    patched: bool
    norms: bool | None
    masters: bool | None
    scale: Any


_LEVELS: Mapping[str, _Level] = MappingProxyType(
    {
        "O0": _Level("float32", False, None, False, 1.0),
        "O1": _Level(None, True, None, None, "dynamic"),
        "O2": _Level("float16", False, True, True, "dynamic"),
        "O3": _Level("float16", False, False, False, 1.0),
    }
)
_OVERRIDES = ("cast_model_type", "patch_torch_functions", "keep_batchnorm_fp32", "master_weights")
_ARGUMENTS = (
    *("opt_level", "enabled", "loss_scale", "min_loss_scale", "max_loss_scale", *_OVERRIDES, "cast_model_outputs"),
    *("num_losses", "verbosity", "hard_override", "state"),
)
_DTYPES: Mapping[str, str] = MappingProxyType(
    {
        f"{prefix}{name}": dtype
        for prefix in ("torch.", "")
        for name, dtype in (
            *(("float16", "float16"), ("half", "float16"), ("bfloat16", "bfloat16")),
            *(("float32", "float32"), ("float", "float32")),
        )
    }
)


def read(config: Any) -> Reading:
    """Read a config."""
    return read_at(config, "")


def read_at(config: Any, prefix: str) -> Reading:
    """Read a config that stands somewhere in another one.

    Args:
        config: the arguments.
        prefix: where they stand.

    Raises:
        InvalidType, InvalidValue: what Apex refuses.
    """
    fields = Fields("amp.initialize", config, _ARGUMENTS, prefix, texts="pydantic")
    fields.aside("num_losses", "how many losses have a scale of their own")
    fields.aside("verbosity", "what is printed")
    level = fields.one_of("opt_level", "O1", tuple(_LEVELS), "compute_dtype")
    for fact in ("variable_dtype", "casting"):
        fields.says(fact, "opt_level")
    if not fields.flag("enabled", True):
        for key in _ARGUMENTS:
            fields.ignore(key, "amp is switched off")
        del fields.ignored[fields.path("enabled")]
        fields.paths.clear()
        fields.says("compute_dtype", "enabled")
        return fields.reading(Setup(Dtypes("float32", "float32", "model"), "none"))
    dtypes = _dtypes(fields, level)
    scale = fields.value("loss_scale", _LEVELS[level].scale, "scaling")
    if scale == "dynamic":
        return _read_dynamic(fields, dtypes)
    for key in ("min_loss_scale", "max_loss_scale", "state"):
        fields.ignore(key, "the loss scale is fixed")
    number = _number(fields, scale)
    if number == 1:
        return fields.reading(Setup(dtypes, "none"))
    fields.says("initial_scale", "loss_scale")
    return fields.reading(Setup(dtypes, "fixed", scaler_rules.fixed(number)))


def _dtypes(fields: Fields, level: str) -> Dtypes:
    """Return the dtypes of a level with its overrides.

    Raises:
        InvalidValue: an override that the level does not go with.
    """
    _check_overrides(fields, level)
    defaults = _LEVELS[level]
    output = fields.dtype("cast_model_outputs", None, _DTYPES, "output_dtype")
    cast = fields.dtype("cast_model_type", defaults.cast, _DTYPES, "compute_dtype" if level != "O1" else "")
    patched = fields.flag("patch_torch_functions", defaults.patched)
    if cast is None or level == "O1":
        fields.ignore("cast_model_type", "under O1 it can only say what is so anyway")
        if fields.has("patch_torch_functions"):
            fields.says("compute_dtype", "patch_torch_functions")
        return Dtypes("float16" if patched else "float32", "float32", "ops", output)
    fields.ignore("patch_torch_functions", "the level does not patch functions anyway")
    output = output or "float32"  # amp casts the outputs of a model that it cast
    if cast == "float32":
        for key in ("keep_batchnorm_fp32", "master_weights"):
            fields.ignore(key, "everything is float32")
        return Dtypes(cast, cast, "model", output)
    masters = fields.flag("master_weights", bool(defaults.masters), "variable_dtype")
    fields.flag("keep_batchnorm_fp32", bool(defaults.norms))
    fields.adds("keep_batchnorm_fp32", "whether batch normalization stays in float32")
    if cast == "bfloat16":
        text = "Apex casts to bfloat16 only where the torch that it was built with does; its own levels use float16."
        fields.remark("cast_model_type", "depends_on_build", text)
    return Dtypes(cast, "float32" if masters else cast, "model", output)


def _check_overrides(fields: Fields, level: str) -> None:
    """Refuse the overrides for which Apex raises a RuntimeError."""
    if level != "O1":
        if fields.flag("patch_torch_functions"):
            raise fields.refused("patch_torch_functions", "null or false, but under opt_level O1", found=True)
        return
    for key in ("keep_batchnorm_fp32", "master_weights"):
        if fields.has(key):
            expected = "null under opt_level O1, whose weights are float32 anyway (use O2 or O3)"
            raise fields.refused(key, expected, fields.value(key, None))
    cast = fields.value("cast_model_type", default=False)
    if cast is not False and fields.dtype("cast_model_type", None, _DTYPES) != "float32":
        raise fields.refused("cast_model_type", "null or float32 under opt_level O1 (use O2 or O3)", cast)


def _number(fields: Fields, value: Any) -> float:
    """Return a fixed scale, which may be text, as on a command line."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if isinstance(value, bool) or not 0 < number < float("inf"):
        raise fields.refused("loss_scale", "'dynamic' or a positive number", value)
    return number


def _read_dynamic(fields: Fields, dtypes: Dtypes) -> Reading:
    cap = fields.number("max_loss_scale", 2.0**24, "cap")
    floor = fields.number("min_loss_scale", 1.0, "floor") if fields.has("min_loss_scale") else None
    fields.says("floor", "min_loss_scale")
    rule = scaler_rules.apex(init_scale=min(2.0**16, cap), min_loss_scale=floor, max_loss_scale=cap)
    if not fields.has("state"):
        return fields.reading(Setup(dtypes, "dynamic", rule))
    scalers, place = fields.inner("state"), fields.path("state")
    first = Fields("state", scalers, scalers if isinstance(scalers, dict) else (), place, texts="pydantic")
    for key in scalers:
        if key != "loss_scaler0":
            first.aside(key, "the scaler of another loss")
    inner = first.inner("loss_scaler0")
    state = Fields("loss_scaler0", inner, ("loss_scale", "unskipped"), f"{place}.loss_scaler0", texts="pydantic")
    scale = state.number("loss_scale", rule.initial_scale, "state.loss_scale")
    moved = ScalerState(scale, state.whole("unskipped", 0, "state.counter"))
    return fields.reading(Setup(dtypes, "dynamic", rule, moved), first, state)


def write(setup: Setup) -> dict[str, Any]:
    """Return the arguments, and the state where there is one."""
    config: dict[str, Any] = _write_dtypes(setup.dtypes)
    if setup.scaling == "none":
        return {**config, "loss_scale": 1.0}
    if setup.rule is None:
        return config
    if setup.scaling == "fixed":
        return {**config, "loss_scale": setup.rule.initial_scale}
    cap = setup.rule.cap or 2.0**24
    config |= {"loss_scale": "dynamic", "max_loss_scale": cap}
    if setup.rule.initial_scale < min(2.0**16, cap) and setup.rule.cap is None and setup.state is None:
        # Not as the cap, which would end every growth: the state holds the first scale.
        config["state"] = {"loss_scaler0": {"loss_scale": setup.rule.initial_scale, "unskipped": 0}}
    if setup.rule.floor:
        config["min_loss_scale"] = setup.rule.floor
    if setup.state is None:
        return config
    moved = {"loss_scale": setup.state.loss_scale, "unskipped": max(setup.state.counter, 0)}
    return {**config, "state": {"loss_scaler0": moved}}


def _write_dtypes(dtypes: Dtypes | None) -> dict[str, Any]:
    if dtypes is None:
        return {"opt_level": "O1"}
    whole = dtypes.casting == "model" or dtypes.variable == dtypes.compute
    output = dtypes.output or dtypes.compute
    if dtypes.compute not in ("float16", "bfloat16"):
        config, own = {"opt_level": "O0"}, "float32"
    elif whole:
        config, own = {"opt_level": "O3" if dtypes.variable == dtypes.compute else "O2"}, "float32"
    else:
        config, own = {"opt_level": "O1"}, dtypes.compute
    if output != own and output in ("float16", "float32", "bfloat16"):
        config["cast_model_outputs"] = f"torch.{output}"
    return config
