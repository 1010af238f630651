"""Megatron-LM: its arguments, and the state of its gradient scaler under ``grad_scaler``.

Config: arguments by name, with underscores or as flags (``--loss-scale``), alone or under ``MODEL_ARGS``; or a command
line, as a text or a list of words. Other arguments may stand beside those of precision.
Source: ``megatron/training/arguments.py``, ``megatron/core/optimizer/__init__.py`` and ``grad_scaler.py`` at d98e8a64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine import scaler_rules
from engine.errors import InvalidValue
from engine.scaler import ScalerRule, ScalerState, float32
from engine.serialization.translate.arguments import arguments_of
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import NEVER, Dtypes, Reading, Setup, steps

LIMITS = {"floor": "it is a float32, and not above `initial_loss_scale`"}
_OUTER = "MODEL_ARGS"
_DYNAMIC = ("initial_loss_scale", "min_loss_scale", "loss_scale_window", "hysteresis")
_FP8 = "fp8_format"
_DTYPES = MappingProxyType({"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "fp8": "fp8"})
_FURTHER: Mapping[str, str] = MappingProxyType(
    {
        "accumulate_allreduce_grads_in_fp32": "whether gradients accumulate and are reduced in float32",
        "grad_reduce_in_bf16": "whether gradients are reduced in bfloat16",
        "attention_softmax_in_fp32": "whether the softmax of attention is computed in float32",
        "fp16_lm_cross_entropy": "whether the loss is computed in float16",
        "fp32_residual_connection": "whether residual connections stay in float32",
        "output_logit_dtype": "the dtype of logits",
        "apply_query_key_layer_scaling": "whether attention is scaled by layer, with a softmax in float32",
        "no_query_key_layer_scaling": "whether attention is scaled by layer, with a softmax in float32",
        "fp8_format": "the float8 formats of matrix products",
        "fp8": "the float8 formats of matrix products, under an older name",
        "fp8_recipe": "how float8 numbers are scaled",
        "fp8_margin": "how far below its largest number float8 is scaled",
        "fp8_interval": "how often the scales of float8 are computed",
        "fp8_amax_history_len": "how many steps back the largest magnitude is kept",
        "fp8_amax_compute_algo": "how the largest magnitude is chosen",
        "fp8_param_gather": "whether weights are kept in float8",
        "no_fp8_wgrad": "whether gradients of weights are computed in a wider dtype",
        "fp8_wgrad": "whether gradients of weights are computed in float8",
        "first_last_layers_bf16": "whether the first and last layers stay in bfloat16",
        "num_layers_at_start_in_bf16": "how many first layers stay in bfloat16",
        "num_layers_at_end_in_bf16": "how many last layers stay in bfloat16",
        "fp4_format": "the float4 format of matrix products",
        "fp4_recipe": "how float4 numbers are scaled",
        "fp4_param_gather": "whether weights are kept in float4",
        "use_precision_aware_optimizer": "whether the optimizer takes dtypes of its own",
        "main_grads_dtype": "the dtype in which gradients accumulate",
        "exp_avg_dtype": "the dtype of the optimizer's first moments",
        "exp_avg_sq_dtype": "the dtype of the optimizer's second moments",
        "ddp_reduce_scatter_with_fp32_accumulation": "whether gradients are summed in float32 while reduced",
    }
)
_ASIDE = MappingProxyType(
    {
        "use_distributed_optimizer": "where the optimizer's state lies",
        "check_for_nan_in_loss_and_grad": "whether nonfinite numbers stop the run",
    }
)
_ARGUMENTS = ("fp16", "bf16", "loss_scale", *_DYNAMIC, "main_params_dtype", "grad_scaler", *_FURTHER, *_ASIDE)
_STATE = ("scale", "growth_tracker", "hysteresis_tracker")
_RULE_WORDS = MappingProxyType(
    {
        "initial_scale": "initial_loss_scale",
        "min_scale": "min_loss_scale",
        "growth_interval": "loss_scale_window",
        "hysteresis": "hysteresis",
    }
)


def read(config: Any) -> Reading:
    """Read a config."""
    found = arguments_of("Megatron's arguments", config, _ARGUMENTS, groups=(_OUTER,))
    fields = found.fields
    for key, about in _FURTHER.items():
        fields.adds(key, about)
    for key, about in _ASIDE.items():
        fields.aside(key, about)
    dtypes = _dtypes(fields)
    setup, state = _scaling(fields, dtypes)
    return found.reading(setup, *state)


def _dtypes(fields: Fields) -> Dtypes:
    halves = [key for key in ("fp16", "bf16") if fields.flag(key, fact="compute_dtype")]
    if len(halves) > 1:
        text = "Megatron refuses --fp16 with --bf16: leave one of them out."
        raise InvalidValue(text, code="both_halves", path=tuple(fields.path("bf16").split(".")))
    if halves:
        fields.says("compute_dtype", halves[0])
    compute = {"fp16": "float16", "bf16": "bfloat16"}[halves[0]] if halves else "float32"
    if any(fields.has(key) for key in (_FP8, "fp8")) and any(fields.has(key) for key in ("fp4_format", "fp4")):
        text = "Megatron refuses --fp4-format with --fp8-format: leave one of them out."
        raise InvalidValue(text, path=tuple(fields.path("fp4_format").split(".")))
    aware = fields.flag("use_precision_aware_optimizer")
    for key in ("main_params_dtype", "main_grads_dtype", "exp_avg_dtype", "exp_avg_sq_dtype"):
        named = fields.dtype(key, "float32", _DTYPES)
        if named != "float32" and not aware:
            raise fields.refused(key, "fp32 without --use-precision-aware-optimizer", fields.value(key, None))
    variable = fields.dtype("main_params_dtype", "float32", _DTYPES, "variable_dtype") or "float32"
    if compute == "float32":
        fields.ignore("main_params_dtype", "in plain float32 there are no main parameters")
        variable = "float32"
    return Dtypes(compute, variable, "model")


def _scaling(fields: Fields, dtypes: Dtypes) -> tuple[Setup, tuple[Fields, ...]]:
    """Return the setup, and the fields of a state."""
    scale = float32(fields.number("loss_scale", 0.0, zero=True))
    scaled = dtypes.compute != "float32" or fields.flag("use_distributed_optimizer")
    if scale and scaled:
        for key in (*_DYNAMIC, "grad_scaler"):
            fields.ignore(key, "the loss scale is fixed")
        for fact in ("scaling", "initial_scale"):
            fields.says(fact, "loss_scale")
        # Nonfinite gradients are looked for, and skip the step, under a fixed scale too.
        rule = ScalerRule(initial_scale=scale, growth_factor=1.0, backoff_factor=1.0)
        return Setup(dtypes, "fixed", rule), ()
    fields.ignore("loss_scale", "in plain float32 no scaler is made" if scale else "null or 0 count as left out")
    if dtypes.compute != "float16":
        for key in (*_DYNAMIC, "grad_scaler"):
            fields.ignore(key, "the loss is scaled for fp16 only")
        return Setup(dtypes, "none"), ()
    rule = _dynamic(fields)
    if not fields.has("grad_scaler"):
        return Setup(dtypes, "dynamic", rule), ()
    state = Fields("grad_scaler", fields.inner("grad_scaler"), _STATE, fields.path("grad_scaler"))
    return Setup(dtypes, "dynamic", rule, _read_state(state)), (state,)


def _dynamic(fields: Fields) -> ScalerRule:
    window = fields.number("loss_scale_window", 1000, "growth_interval")
    if not window.is_integer():
        text = f"The window is compared with a count by ==, and {window} never equals one: the scale never grows."
        fields.remark("loss_scale_window", "never_grows", text)
    settings: dict[str, Any] = {
        "initial_scale": float32(fields.number("initial_loss_scale", 2.0**32, "initial_scale")),
        "min_scale": fields.number("min_loss_scale", 1.0, "floor"),
        "growth_interval": window,
        "hysteresis": fields.whole("hysteresis", 2, "hysteresis", low=1),
    }
    try:
        return scaler_rules.megatron(**settings)
    except InvalidValue as error:
        raise fields.placed(error, _RULE_WORDS) from error


def _read_state(fields: Fields) -> ScalerState:
    scale = float32(fields.number("scale", 1.0, "state.loss_scale"))
    counter = fields.whole("growth_tracker", 0, "state.counter")
    tracker = fields.whole("hysteresis_tracker", 1, "state.patience", low=-math.inf)
    return ScalerState(scale, counter, max(tracker - 1, 0))


def write(setup: Setup) -> dict[str, Any]:
    """Return the arguments, and the state where there is one."""
    compute = "float16" if setup.dtypes is None else setup.dtypes.compute
    config: dict[str, Any] = {"fp16": compute == "float16", "bf16": compute == "bfloat16"}
    if setup.dtypes is not None and setup.dtypes.variable == "float16" == compute:
        config |= {"use_precision_aware_optimizer": True, "main_params_dtype": "fp16"}
    if setup.scaling == "none" and compute == "float16":
        config["loss_scale"] = 1.0
    if setup.rule is None or compute not in ("float16", "bfloat16"):
        return config
    rule = setup.rule
    initial = float32(rule.initial_scale) or 2.0**-126
    if setup.scaling == "fixed":
        return {**config, "loss_scale": initial}
    if compute != "float16":
        return config
    config |= {
        "initial_loss_scale": initial,
        "min_loss_scale": min(float32(rule.floor or 0.0) or 2.0**-126, initial),
        "loss_scale_window": steps(rule),
        "hysteresis": rule.hysteresis if rule.hysteresis >= 1 else NEVER,
    }
    if setup.state is None:
        return config
    state = setup.state
    moved = {"scale": float32(state.loss_scale), "growth_tracker": max(state.counter, 0)}
    return {**config, "grad_scaler": {**moved, "hysteresis_tracker": state.patience + 1}}
