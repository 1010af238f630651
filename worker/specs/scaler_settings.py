"""From a loss scale, as anyone may have it, to the rule of a system: by Keras's words or by the system's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from engine import loss_scale, scaler, scaler_rules
from engine.errors import InvalidType, InvalidValue, located
from engine.keras_config import check_arguments, to_float
from engine.loss_scale import DynamicLossScale, FixedLossScale
from engine.scaler import ScalerRule
from engine.scaler_rules import RULES
from worker.specs.notices import Notice

RuleName: TypeAlias = Literal[
    "tf2.4",
    "tf_keras",
    "keras3",
    "torch",
    "deepspeed_zero",
    "deepspeed_fused",
    "megatron",
    "fairseq",
    "jmp",
    "apex",
    "fixed",
]
RULE_NAMES: tuple[RuleName, ...] = get_args(RuleName)
DEFAULT: RuleName = "tf2.4"

_TF = ("initial_scale", "growth_interval", "growth_factor")
_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tf2.4": _TF,
        "tf_keras": _TF,
        "keras3": ("initial_scale", "growth_interval"),
        "torch": ("init_scale", "growth_interval", "growth_factor"),
        "deepspeed_zero": ("init_scale", "scale_window"),
        "deepspeed_fused": ("init_scale", "scale_window"),
        "megatron": ("initial_scale", "growth_interval", "growth_factor"),
        "fairseq": ("init_scale", "scale_window", "scale_factor"),
        "jmp": ("loss_scale", "period", "factor"),
        "apex": ("init_scale", "scale_window"),
    }
)
"""What each system calls the first scale, the window and, where it has one, the factor."""
_SHRINKS_APART = frozenset({"torch", "megatron"})
"""Systems with a factor of their own for shrinking."""
_FIXED_CHECKED = frozenset({"deepspeed_zero", "deepspeed_fused", "megatron"})
"""Systems that skip steps under a fixed scale too."""
_NEVER_FIXED = frozenset({"torch", "fairseq"})


def rule_of(value: Any, name: RuleName | None) -> tuple[ScalerRule, tuple[Notice, ...]]:
    """Return how a loss scale moves.

    Args:
        value: what Keras takes for a loss scale ("dynamic", a number, a serialized one, null), or an object of the
            settings of the named rule, in its system's own words.
        name: of the rule; None for TF 2.4's.

    Raises:
        InvalidType, InvalidValue: no loss scale, or one that the rule cannot have; the path is relative to the value.
    """
    rule = name or DEFAULT
    if name is not None and isinstance(value, dict) and "class_name" not in value:
        return _in_its_own_words(rule, value), ()
    if value == "dynamic" and isinstance(value, str) and rule != "fixed":
        return RULES[rule](), ()
    scale = loss_scale.get(value)
    if scale is None:
        return scaler.UNSCALED, ()
    with located(*(["config"] if isinstance(value, dict) else [])):
        return _fixed(scale, rule) if isinstance(scale, FixedLossScale) else (_dynamic(scale, rule), ())


def _fixed(scale: FixedLossScale, rule: RuleName) -> tuple[ScalerRule, tuple[Notice, ...]]:
    value = scale.loss_scale_value
    if rule in _NEVER_FIXED:
        text = f"{rule} has no fixed loss scale: {value} is taken for the scale of the first step."
        notice = Notice(code="no_fixed_loss_scale", message=text, pointer="/loss_scale")
        return RULES[rule](value), (notice,)
    if rule in _FIXED_CHECKED:
        return ScalerRule(initial_scale=value, growth_factor=1.0, backoff_factor=1.0), ()
    fixed = scaler_rules.fixed(value)
    return (replace(fixed, unscale="divide") if rule == "keras3" else fixed), ()


def _dynamic(scale: DynamicLossScale, rule: RuleName) -> ScalerRule:
    if rule == "fixed":
        raise InvalidValue("The rule 'fixed' takes a number or a FixedLossScale.", code="not_fixed")
    words = _WORDS[rule]
    arguments = dict(zip(words, (scale.initial_loss_scale, scale.increment_period, scale.multiplier), strict=False))
    if len(words) < len(_TF) and scale.multiplier != 2:
        raise InvalidValue(
            f"The rule {rule!r} doubles and halves: its multiplier must be 2, but got: {scale.multiplier}",
            code="multiplier",
            path=("multiplier",),
        )
    if rule in _SHRINKS_APART:
        if scale.multiplier == 0:
            text = f"The rule {rule!r} shrinks by 1 / multiplier, which must not be 0."
            raise InvalidValue(text, code="multiplier", path=("multiplier",))
        arguments["backoff_factor"] = 1 / scale.multiplier
    return RULES[rule](**arguments)


def _in_its_own_words(rule: RuleName, given: dict[str, Any]) -> ScalerRule:
    settings = signature(RULES[rule]).parameters
    required = [name for name, setting in settings.items() if setting.default is Parameter.empty]
    optional = [name for name in settings if name not in required]
    check_arguments(f"The rule {rule!r}", given, required=required, optional=optional)
    return RULES[rule](**{key: _setting(key, value, settings[key].default) for key, value in given.items()})


def _setting(key: str, value: Any, default: Any) -> Any:
    """Return the value of a setting, of the kind that its default is of; only one that is None by default may be it."""
    if value is None and default is None:
        return None
    if isinstance(default, bool) != isinstance(value, bool) or not isinstance(value, int | float):
        kind = "true or false" if isinstance(default, bool) else "a number"
        raise InvalidType(f"{key!r} must be {kind}, but got: {value!r}", path=(key,))
    if isinstance(default, bool):
        return value
    number = to_float(key, value)
    if not isinstance(default, int):
        return number
    if not number.is_integer():
        raise InvalidValue(f"{key!r} must be a whole number, but got: {value!r}", path=(key,))
    return int(number)
