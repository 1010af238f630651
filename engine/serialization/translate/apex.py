"""Apex: the arguments of ``amp.initialize``, and ``amp.state_dict()`` under ``state``.

Source: ``apex/amp/frontend.py`` and ``scaler.py``, before amp was taken out of Apex.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine import scaler_rules
from engine.errors import InvalidValue
from engine.scaler import ScalerState
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import Dtypes, Reading, Setup

LIMITS = {
    "initial_scale": "a dynamic scale starts at 2**16, or at `max_loss_scale` where that is lower",
    "growth_interval": "the window is always 2000",
}
_LEVELS: Mapping[str, tuple[Dtypes, Any]] = MappingProxyType(
    {
        "O0": (Dtypes("float32", "float32", "model"), 1.0),
        "O1": (Dtypes("float16", "float32", "ops"), "dynamic"),
        "O2": (Dtypes("float16", "float32", "model"), "dynamic"),
        "O3": (Dtypes("float16", "float16", "model"), 1.0),
    }
)
_OTHER = (
    *("cast_model_type", "patch_torch_functions", "keep_batchnorm_fp32", "master_weights", "cast_model_outputs"),
    *("num_losses", "verbosity"),
)
_ARGUMENTS = ("opt_level", "enabled", "loss_scale", "min_loss_scale", "max_loss_scale", *_OTHER, "state")


def read(config: Any) -> Reading:
    """Read a config."""
    fields = Fields("amp.initialize", config, _ARGUMENTS)
    level = fields.one_of("opt_level", "O1", tuple(_LEVELS), "compute_dtype")
    for fact in ("variable_dtype", "casting"):
        fields.says(fact, "opt_level")
    for key in _OTHER:
        fields.ignore(key, "a detail of the optimization level that no other system has")
    dtypes, default = _LEVELS[level]
    if not fields.flag("enabled", True):
        fields.says("compute_dtype", "enabled")
        dtypes, default = _LEVELS["O0"]
    scale = fields.value("loss_scale", default, "scaling")
    if scale == "dynamic":
        return _read_dynamic(fields, dtypes)
    for key in ("min_loss_scale", "max_loss_scale", "state"):
        fields.ignore(key, "the loss scale is fixed")
    number = _number(scale)
    if number == 1:
        return Reading(Setup(dtypes, "none"), fields.paths, fields.ignored)
    fields.says("initial_scale", "loss_scale")
    return Reading(Setup(dtypes, "fixed", scaler_rules.fixed(number)), fields.paths, fields.ignored)


def _number(value: Any) -> float:
    """Return a fixed scale, which may be text, as on a command line."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not 0 < number < float("inf"):
        text = f"'loss_scale' must be 'dynamic' or a positive number, but got: {value!r}"
        raise InvalidValue(text, path=("loss_scale",))
    return number


def _read_dynamic(fields: Fields, dtypes: Dtypes) -> Reading:
    cap = fields.number("max_loss_scale", 2.0**24, "cap")
    floor = fields.number("min_loss_scale", 1.0, "floor") if fields.has("min_loss_scale") else None
    fields.says("floor", "min_loss_scale")
    rule = scaler_rules.apex(init_scale=min(2.0**16, cap), min_loss_scale=floor, max_loss_scale=cap)
    if not fields.has("state"):
        return Reading(Setup(dtypes, "dynamic", rule), fields.paths, fields.ignored)
    scalers = fields.inner("state")
    first = Fields("state", scalers, scalers if isinstance(scalers, dict) else (), "state")
    for key in scalers:
        if key != "loss_scaler0":
            first.ignore(key, "only the first scaler is translated")
    state = Fields("loss_scaler0", first.inner("loss_scaler0"), ("loss_scale", "unskipped"), "state.loss_scaler0")
    scale = state.number("loss_scale", rule.initial_scale, "state.loss_scale")
    moved = ScalerState(scale, state.whole("unskipped", 0, "state.counter"))
    paths, ignored = {**fields.paths, **state.paths}, {**fields.ignored, **first.ignored}
    return Reading(Setup(dtypes, "dynamic", rule, moved), paths, ignored)


def write(setup: Setup) -> dict[str, Any]:
    """Return the arguments, and the state where there is one."""
    config: dict[str, Any] = {"opt_level": _level(setup)}
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


def _level(setup: Setup) -> str:
    if setup.dtypes is None:
        return "O1"
    if setup.dtypes.compute not in ("float16", "bfloat16"):
        return "O0"
    if setup.dtypes.variable == setup.dtypes.compute:
        return "O3"
    return "O2" if setup.dtypes.casting == "model" else "O1"
