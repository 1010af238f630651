"""Loss scales as TF 2.4 describes them: a fixed number, or one that moves with the gradients.

These are values that say how to scale; the state that moves while training is ``engine.scaler.ScalerState``.
Source: ``tensorflow.python.training.experimental.loss_scale`` and
``tensorflow.python.keras.mixed_precision.loss_scale`` of TF 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self, TypeAlias

import numpy as np

from engine import keras_config, scaler_rules
from engine.errors import InvalidValue, located
from engine.keras_config import to_float, to_int
from engine.scaler import ScalerRule, ScalerState


@dataclass(frozen=True, repr=False)
class FixedLossScale:
    """A loss scale that stays what it is, and never looks at the gradients.

    Args:
        loss_scale_value: a Python int or float, at least 1 (nan and infinity pass, as in TF).

    Raises:
        InvalidValue: another type, a number below 1, or an int beyond every float.
    """

    loss_scale_value: float

    def __post_init__(self) -> None:
        value = self.loss_scale_value
        if not isinstance(value, int | float):
            raise InvalidValue("loss_scale_value must be a Python int or float.", path=("loss_scale_value",))
        if value < 1:
            raise InvalidValue("loss_scale_value must be at least 1.", path=("loss_scale_value",))
        object.__setattr__(self, "loss_scale_value", to_float("loss_scale_value", value))

    @property
    def rule(self) -> ScalerRule:
        """How the scale behaves in training.

        Raises:
            InvalidValue: the number is finite but larger than every float32, so that no loss can be multiplied by it.
        """
        with located("loss_scale_value"):
            return scaler_rules.fixed(self.loss_scale_value)

    def __repr__(self) -> str:
        return f"FixedLossScale({self.loss_scale_value})"

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments that make this value again."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a loss scale of what ``get_config`` returned."""
        return cls(**keras_config.check_arguments(cls.__name__, config, required=("loss_scale_value",)))


@dataclass(frozen=True, repr=False)
class DynamicLossScale:
    """A loss scale that grows after steps with finite gradients and shrinks after one without.

    Arguments are converted as TF converts them ("8" is 8.0, 2.9 steps are 2), and no range is checked.

    Args:
        initial_loss_scale: the scale of the first step.
        increment_period: how many finite steps in a row make the scale grow.
        multiplier: what growing multiplies by and shrinking divides by.

    Raises:
        InvalidType, InvalidValue: an argument that does not convert to its number.
    """

    initial_loss_scale: float = 2.0**15
    increment_period: int = 2000
    multiplier: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial_loss_scale", to_float("initial_loss_scale", self.initial_loss_scale))
        object.__setattr__(self, "increment_period", to_int("increment_period", self.increment_period))
        object.__setattr__(self, "multiplier", to_float("multiplier", self.multiplier))

    @property
    def rule(self) -> ScalerRule:
        """How the scale behaves in training."""
        return scaler_rules.tf24(self.initial_loss_scale, self.increment_period, self.multiplier)

    def __repr__(self) -> str:
        return describe(self, self.rule.initial())

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments that make this value again."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a loss scale of what ``get_config`` returned; missing keys take their defaults."""
        keys = ("initial_loss_scale", "increment_period", "multiplier")
        return cls(**keras_config.check_arguments(cls.__name__, config, optional=keys))


LossScale: TypeAlias = FixedLossScale | DynamicLossScale

READERS: Mapping[str, keras_config.Reader[LossScale]] = MappingProxyType(
    {"FixedLossScale": FixedLossScale.from_config, "DynamicLossScale": DynamicLossScale.from_config}
)
"""How each class of loss scale reads its config."""


def get(identifier: Any) -> LossScale | None:
    """Return the loss scale that a user may mean: a number, "dynamic", a dict, a loss scale, or None for none.

    Raises:
        InvalidValue, InvalidType: anything else, or a dict that ``deserialize`` refuses.
    """
    return deserialize(identifier) if isinstance(identifier, dict) else get_core(identifier)


def get_core(identifier: Any) -> LossScale | None:
    """Like ``get``, without dicts: TF's function of the same name outside Keras."""
    if isinstance(identifier, int | float):
        return FixedLossScale(identifier)
    if isinstance(identifier, str) and identifier == "dynamic":
        return DynamicLossScale()
    if identifier is None or isinstance(identifier, LossScale):
        return identifier
    raise InvalidValue(f"Could not interpret loss scale identifier: {identifier}", code="unknown_loss_scale")


def describe(loss_scale: LossScale | None, state: ScalerState) -> str:
    """Return TF's ``repr`` of a loss scale in the given state, which TF shows for dynamic ones."""
    if not isinstance(loss_scale, DynamicLossScale):
        return repr(loss_scale)
    return (
        f"DynamicLossScale(current_loss_scale={_float32_text(state.loss_scale)}, num_good_steps={state.counter}, "
        f"initial_loss_scale={loss_scale.initial_loss_scale}, increment_period={loss_scale.increment_period}, "
        f"multiplier={loss_scale.multiplier})"
    )


def serialize(loss_scale: Any) -> dict[str, Any] | None:
    """Return ``{"class_name", "config"}`` of a loss scale, and None for None.

    Raises:
        InvalidValue: not a loss scale.
    """
    if loss_scale is None:
        return None
    if not isinstance(loss_scale, LossScale):
        raise InvalidValue(f"('Cannot serialize', {loss_scale!r})", code="not_serializable")
    return keras_config.serialized(loss_scale)


def deserialize(config: Any) -> LossScale | None:
    """Return the loss scale of a class name or of what ``serialize`` returned, and None for None.

    Raises:
        InvalidValue, InvalidType: a class other than the two, a config that its class refuses, or no such dict.
    """
    return keras_config.deserialize(config, READERS, "loss scale")


def _float32_text(value: float) -> str:
    """Return a float32 as numpy 1.19 prints it; numpy 2 turns to powers of ten earlier."""
    number = np.float32(value)
    if number == 0 or 1e-4 <= abs(number) < 1e16:
        return np.format_float_positional(number, trim="0")
    return np.format_float_scientific(number, trim="-")
