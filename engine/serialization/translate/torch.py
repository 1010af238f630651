"""torch: ``torch.autocast``, ``torch.amp.GradScaler`` (its arguments or its ``state_dict()``), and FSDP's dtypes.

Config: ``{"autocast": {"dtype", ...}, "grad_scaler": {...}}``, where ``mixed_precision`` (the arguments of FSDP's
``MixedPrecision`` or ``MixedPrecisionPolicy``) may stand for ``autocast``; or one of these parts alone.
Source: ``torch/amp/grad_scaler.py``, ``torch/amp/autocast_mode.py`` and ``torch/distributed/fsdp`` of torch 2.13.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine import scaler_rules
from engine.errors import InvalidValue
from engine.scaler import ScalerRule, ScalerState, float32
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import NEVER, Dtypes, Reading, Setup, growing, shrinking, steps

LIMITS = {
    "scaling": "a GradScaler always moves its scale; here its first growth lies beyond any training",
    "initial_scale": "a state holds the scale of the moment in its place",
    "backoff_factor": "it must be below 1; 0.9999999999999999 leaves every float32 as it is",
    "growth_factor": "it must be above 1; 1.0000000000000002 leaves every float32 as it is",
}
_FACTORS = ("growth_factor", "backoff_factor", "growth_interval")
_ARGUMENTS = ("device", "init_scale", *_FACTORS, "enabled")
_STATE = ("scale", *_FACTORS, "_growth_tracker")
_AUTOCAST = ("device_type", "dtype", "enabled", "cache_enabled")
_FSDP_DTYPES = ("param_dtype", "reduce_dtype", "buffer_dtype", "output_dtype")
_FSDP = (*_FSDP_DTYPES, "keep_low_precision_grads", "cast_forward_inputs", "cast_root_forward_inputs")
_PARTS = ("autocast", "mixed_precision", "grad_scaler")
_DTYPES: Mapping[str, str] = MappingProxyType(
    {
        f"{prefix}{name}": dtype
        for prefix in ("", "torch.")
        for name, dtype in (
            *(("float16", "float16"), ("bfloat16", "bfloat16"), ("half", "float16"), ("float32", "float32")),
            *(("float", "float32"), ("float64", "float64"), ("double", "float64")),
        )
    }
)
_DEVICE_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("cuda", "xpu", "mps", "mtia", "ipu", "privateuseone"), "float16"),
        **dict.fromkeys(("cpu", "hpu", "xla", "maia"), "bfloat16"),
    }
)
"""The dtype of ``torch.autocast`` where none is given, as ``torch.get_autocast_dtype`` of torch 2.13 prints it."""


def read(config: Any) -> Reading:
    """Read a config."""
    if isinstance(config, dict) and set(_FSDP_DTYPES) & config.keys():
        sharded, fields = _read_fsdp(config, "")
        return fields.reading(Setup(sharded))
    compound = isinstance(config, dict) and (set(_PARTS) & config.keys() or not config)
    if not compound:
        setup, fields = _read_scaler(config, "")
        return fields.reading(setup)
    whole = Fields("A torch setup", config, _PARTS)
    parts = [whole]
    dtypes: Dtypes | None = None
    for part, reader in (("mixed_precision", _read_fsdp), ("autocast", _read_autocast)):
        if whole.has(part):
            dtypes, fields = reader(whole.inner(part), part)
            parts.append(fields)
    if not whole.has("grad_scaler"):
        if not config:
            _remark_empty(whole, "", "nothing is scaled")
        return whole.reading(Setup(dtypes, "none" if whole.has("autocast") else "unsaid"), *parts[1:])
    setup, fields = _read_scaler(whole.inner("grad_scaler"), "grad_scaler")
    if whole.inner("grad_scaler") == {}:
        _remark_empty(whole, "grad_scaler", "the default arguments")
    return whole.reading(Setup(dtypes, setup.scaling, setup.rule, setup.state), *parts[1:], fields)


def _remark_empty(fields: Fields, key: str, read_as: str) -> None:
    text = (
        "An empty object is ambiguous: GradScaler() takes it for its default arguments, and GradScaler(enabled=False)"
        f'.state_dict() is {{}} too. It is read as {read_as} here; write {{"enabled": false}} for a scaler that is '
        'switched off, or {"enabled": true} for one of default arguments.'
    )
    fields.remark(key, "ambiguous", text)


def _read_autocast(config: Any, prefix: str) -> tuple[Dtypes, Fields]:
    fields = Fields("autocast", config, _AUTOCAST, prefix)
    fields.aside("cache_enabled", "whether casts of weights are kept")
    dtype = fields.dtype("dtype", None, _DTYPES, "compute_dtype")
    if dtype is None:
        dtype = _default_dtype(fields)
    else:
        fields.aside("device_type", "the device, on which the dtype does not depend where it is given")
    if not fields.flag("enabled", True):
        fields.ignore("dtype", "autocast is switched off")
        fields.says("compute_dtype", "enabled")
        return Dtypes("float32", "float32", "ops"), fields
    if dtype not in ("float16", "bfloat16"):
        text = f"torch.autocast casts to float16 and bfloat16 only; for {dtype} it warns and switches itself off."
        fields.remark("dtype", "switched_off", text)
        dtype = "float32"
    return Dtypes(dtype, "float32", "ops"), fields


def _default_dtype(fields: Fields) -> str:
    """Return the dtype that autocast takes for its device."""
    if not fields.has("device_type"):
        text = "Neither dtype nor device_type is given: it is read as on CUDA, float16; on a CPU it is bfloat16."
        fields.remark("", "device_decides", text)
        return "float16"
    device = fields.value("device_type", "", "compute_dtype")
    name = device.partition(":")[0] if isinstance(device, str) else device
    if name not in _DEVICE_DEFAULTS:
        raise fields.refused("device_type", f"one of {', '.join(_DEVICE_DEFAULTS)}", device)
    return _DEVICE_DEFAULTS[name]


def _read_fsdp(config: Any, prefix: str) -> tuple[Dtypes, Fields]:
    fields = Fields("MixedPrecision", config, _FSDP, prefix)
    compute = fields.dtype("param_dtype", "float32", _DTYPES, "compute_dtype") or "float32"
    output = fields.dtype("output_dtype", None, _DTYPES, "output_dtype")
    for key, about in (
        ("reduce_dtype", "the dtype in which gradients are reduced"),
        ("buffer_dtype", "the dtype of the model's buffers"),
        ("keep_low_precision_grads", "whether gradients stay in the low precision"),
        ("cast_forward_inputs", "whether inputs of every module are cast"),
        ("cast_root_forward_inputs", "whether inputs of the model are cast"),
    ):
        if key.endswith("_dtype"):
            fields.dtype(key, None, _DTYPES)
        fields.adds(key, about)
    return Dtypes(compute, "float32", "model", output), fields


def _read_scaler(config: Any, prefix: str) -> tuple[Setup, Fields]:
    is_state = isinstance(config, dict) and "scale" in config
    fields = Fields("GradScaler", config, _STATE if is_state else _ARGUMENTS, prefix)
    fields.aside("device", "the device")
    if not fields.flag("enabled", True, "scaling"):
        for key in ("init_scale", *_FACTORS):
            fields.ignore(key, "the GradScaler is switched off")
        return Setup(scaling="none"), fields
    settings: dict[str, Any] = {
        "init_scale": float32(fields.number("scale" if is_state else "init_scale", 2.0**16, "initial_scale")),
        "growth_factor": fields.number("growth_factor", 2.0, "growth_factor"),
        "backoff_factor": fields.number("backoff_factor", 0.5, "backoff_factor"),
        "growth_interval": fields.whole("growth_interval", 2000, "growth_interval"),
    }
    try:
        rule = scaler_rules.torch(**settings)
    except InvalidValue as error:
        raise fields.placed(error, {key: key for key in _FACTORS}) from error
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
        "growth_factor": 2.0 if fixed else growing(rule),
        "backoff_factor": shrinking(rule),
        "growth_interval": NEVER if fixed else steps(rule),
    }
    if state is None:
        return {"init_scale": float32(rule.initial_scale), **factors}
    return {"scale": float32(state.loss_scale), **factors, "_growth_tracker": max(state.counter, 0)}
