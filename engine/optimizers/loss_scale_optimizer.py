"""Optimizers that scale the loss: a frozen config around another optimizer.

The scaling itself is the wrapper's ``rule``; nothing here holds state or touches an array.
Source: ``tensorflow.python.keras.mixed_precision.loss_scale_optimizer`` of TF 2.4, whose errors these are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeAlias

from engine import loss_scale, scaler_rules
from engine.conventions import Conventions
from engine.errors import InvalidType, InvalidValue, located
from engine.keras_config import as_dict, check_arguments, taken, to_float, to_int
from engine.loss_scale import DynamicLossScale, FixedLossScale, LossScale
from engine.optimizers.base import Optimizer
from engine.scaler import ScalerRule

DEFAULT_SCALE = 2.0**15
DEFAULT_GROWTH_STEPS = 2000
ReadOptimizer: TypeAlias = Callable[[Any], Any]
"""Makes the inner optimizer of its serialized form."""


@dataclass(frozen=True)
class LossScaleOptimizer:
    """An optimizer whose loss is multiplied by a scale, and whose gradients are divided by it.

    Args:
        inner_optimizer: what updates the variables.
        dynamic: whether the scale moves; a fixed one never looks at gradients and never skips a step.
        initial_scale: the scale of the first step; None is 2**15 if dynamic. No range is checked, as in TF.
        dynamic_growth_steps: how many finite steps in a row double the scale; None is 2000 if dynamic.

    Raises:
        InvalidType: the inner optimizer is none or already scales its loss, or ``dynamic`` is no bool.
        InvalidValue: a fixed scale without its value, or with growth steps.
    """

    inner_optimizer: Optimizer
    dynamic: bool = True
    initial_scale: float = None  # type: ignore[assignment]  # None stands for the default until it is made
    dynamic_growth_steps: int | None = None
    class_name: ClassVar[str] = "LossScaleOptimizer"

    def __post_init__(self) -> None:
        _check_inner(self.inner_optimizer)
        if not isinstance(self.dynamic, bool):
            raise InvalidType(
                f'"dynamic" argument to LossScaleOptimizer.__init__ must be a bool, but got: {self.dynamic!r}',
                path=("dynamic",),
            )
        scale, steps = (_dynamic if self.dynamic else _fixed)(self.initial_scale, self.dynamic_growth_steps)
        object.__setattr__(self, "initial_scale", scale)
        object.__setattr__(self, "dynamic_growth_steps", steps)

    @property
    def rule(self) -> ScalerRule:
        """How the loss is scaled, by the line of Keras that the inner optimizer follows.

        Raises:
            InvalidValue: a fixed scale beyond every float32.
        """
        if self.dynamic_growth_steps is None:
            with located("initial_scale"):
                return scaler_rules.fixed(self.initial_scale)
        return scaler_rules.RULES[self.conventions.name](self.initial_scale, self.dynamic_growth_steps)

    @property
    def conventions(self) -> Conventions:
        """The line of Keras that the inner optimizer follows."""
        return self.inner_optimizer.conventions

    @property
    def name(self) -> str | None:
        """The name of the inner optimizer."""
        return self.inner_optimizer.name

    def get_config(self, conventions: Conventions | None = None) -> dict[str, Any]:
        """Return the config in TF 2.4's form."""
        inner = self.inner_optimizer
        config = inner.get_config(conventions or inner.conventions)
        return {
            "inner_optimizer": {"class_name": inner.class_name, "config": config},
            "dynamic": self.dynamic,
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: Any, read: ReadOptimizer) -> Self:
        """Make an optimizer of what ``get_config`` returned, or of the form TF 2.3 wrote.

        Args:
            config: ``inner_optimizer, dynamic, initial_scale, dynamic_growth_steps``, or TF 2.3's
                ``optimizer, loss_scale``; it is not changed.
            read: makes the inner optimizer of its serialized form.

        Raises:
            InvalidType, InvalidValue: a key is missing or too many, or a value is not accepted.
        """
        arguments = as_dict(cls.class_name, config)
        if "loss_scale" in arguments:
            arguments.update(_arguments_of(_read_loss_scale(arguments)))
            arguments["inner_optimizer"] = _pop(arguments, "optimizer", read)
        else:
            arguments["inner_optimizer"] = _pop(arguments, "inner_optimizer", read)
        optional = ("dynamic", "initial_scale", "dynamic_growth_steps")
        return cls(**check_arguments(cls.class_name, arguments, required=("inner_optimizer",), optional=optional))


@dataclass(frozen=True, init=False)
class LossScaleOptimizerV1(LossScaleOptimizer):
    """The deprecated ``tf.keras.mixed_precision.experimental.LossScaleOptimizer``.

    Args:
        optimizer: what updates the variables.
        loss_scale: a number, "dynamic", a fixed or dynamic loss scale, or the dict of one.

    Attributes:
        warnings: what TF logs when it is made.

    Raises:
        InvalidType: as ``LossScaleOptimizer``.
        InvalidValue: no such loss scale, or a dynamic one whose multiplier is not 2.
    """

    warnings: tuple[str, ...] = field(default=(), compare=False)
    class_name: ClassVar[str] = "LossScaleOptimizerV1"

    def __init__(self, optimizer: Optimizer, loss_scale: Any) -> None:
        arguments, text = _interpreted(loss_scale)
        LossScaleOptimizer.__init__(self, optimizer, **arguments)
        object.__setattr__(self, "warnings", (text,))

    @classmethod
    def from_config(cls, config: Any, read: ReadOptimizer) -> Self:
        """Make an optimizer of what ``get_config`` returned (TF 2.4's form), or of the form TF 2.3 wrote."""
        arguments = as_dict(cls.class_name, config)
        if "loss_scale" in arguments:
            arguments["loss_scale"] = _read_loss_scale(arguments)
            _check_multiplier(arguments["loss_scale"], _CANNOT_DESERIALIZE)
            arguments["optimizer"] = _pop(arguments, "optimizer", read)
        else:
            arguments["loss_scale"] = _scale_of(arguments)
            arguments["optimizer"] = _pop(arguments, "inner_optimizer", read)
        return cls(**check_arguments(cls.class_name, arguments, required=("optimizer", "loss_scale")))


_PREFIX = (
    "tf.keras.mixed_precision.experimental.LossScaleOptimizer is deprecated. Please use "
    "tf.keras.mixed_precision.LossScaleOptimizer instead. "
)
_EXAMPLE = "  opt = tf.keras.mixed_precision.experimental.LossScaleOptimizer(opt"
_CANNOT_DESERIALIZE = (
    "Cannot deserialize LossScaleOptimizer with a DynamicLossScale whose multiplier is not 2. Got DynamicLossScale: "
)
NEITHER_FIXED_NOR_DYNAMIC = (
    "Serialized LossScaleOptimizers with a LossScale that is neither a FixedLossScale nor a DynamicLossScale can no "
    "longer be deserialized"
)
_CANNOT_PASS = 'When passing a DynamicLossScale to "loss_scale", DynamicLossScale.multiplier must be 2. Got: '


def deprecation_warning(given: Any) -> str:
    """Return what TF logs when a LossScaleOptimizerV1 is given a loss scale, also where it then refuses the optimizer.

    Raises:
        InvalidValue, InvalidType: the loss scale is refused, before anything is logged.
    """
    return _interpreted(given)[1]


def _interpreted(given: Any) -> tuple[dict[str, Any], str]:
    """Return the arguments of LossScaleOptimizer that a V1 loss scale stands for, and the text TF logs."""
    with located("loss_scale"):
        scale = loss_scale.deserialize(given) if isinstance(given, dict) else given
        if isinstance(scale, FixedLossScale):
            scale = scale.loss_scale_value
        if isinstance(scale, int | float):
            text = f"{_PREFIX}For example\n{_EXAMPLE}, dynamic=False, initial_scale={scale})"
            return {"dynamic": False, "initial_scale": scale}, text
        if isinstance(scale, str) and scale == "dynamic":
            return {}, f"{_PREFIX}For example\n{_EXAMPLE})"
        if isinstance(scale, DynamicLossScale):
            return _interpreted_dynamic(scale)
        raise InvalidValue(
            'Invalid value passed to loss_scale. loss_scale must be the string "dynamic" (recommended), an int, a '
            f"float, a FixedLossScale, or a DynamicLossScale. Got value: {scale}"
        )


def _interpreted_dynamic(scale: DynamicLossScale) -> tuple[dict[str, Any], str]:
    _check_multiplier(scale, _CANNOT_PASS)
    arguments: dict[str, Any] = {}
    if scale.initial_loss_scale != DEFAULT_SCALE:
        arguments["initial_scale"] = scale.initial_loss_scale
    if scale.increment_period != DEFAULT_GROWTH_STEPS:
        arguments["dynamic_growth_steps"] = scale.increment_period
    shown = "".join(f", {key}={value}" for key, value in arguments.items())
    text = (
        f"{_PREFIX}Note that the non-experimental LossScaleOptimizer does not take a DynamicLossScale but instead "
        f"takes the dynamic configuration directly in the constructor. For example:\n{_EXAMPLE}{shown})\n"
    )
    return arguments, text


def _check_inner(inner: Any) -> None:
    if isinstance(inner, LossScaleOptimizer):
        raise InvalidType(
            f'"inner_optimizer" is already wrapped by a {inner.class_name}; pass the optimizer inside it.',
            code="nested_loss_scale_optimizer",
            path=("inner_optimizer",),
            original="AttributeError",
        )
    if not isinstance(inner, Optimizer):
        raise InvalidType(
            f'"inner_optimizer" must be an instance of OptimizerV2, but got: {inner}', path=("inner_optimizer",)
        )


def _dynamic(scale: Any, steps: Any) -> tuple[float, int | None]:
    return (
        DEFAULT_SCALE if scale is None else to_float("initial_scale", scale),
        DEFAULT_GROWTH_STEPS if steps is None else to_int("dynamic_growth_steps", steps),
    )


def _fixed(scale: Any, steps: Any) -> tuple[float, int | None]:
    if scale is None:
        raise InvalidValue('"initial_scale" must be specified if "dynamic" is False', path=("initial_scale",))
    number = to_float("initial_scale", scale)
    if steps is not None:
        raise InvalidValue(
            f'"dynamic_growth_steps" must be None if "dynamic" is False, but got: {steps}',
            path=("dynamic_growth_steps",),
        )
    return number, None


def _pop(arguments: dict[str, Any], key: str, read: ReadOptimizer) -> Any:
    """Take the inner optimizer out of the arguments, and make it."""
    with located(key):
        return read(taken(arguments, key))


def _read_loss_scale(arguments: dict[str, Any]) -> LossScale | None:
    with located("loss_scale"):
        return loss_scale.deserialize(arguments.pop("loss_scale"))


def _arguments_of(scale: LossScale | None) -> dict[str, Any]:
    """Return the arguments that a loss scale in a config of TF 2.3 stands for."""
    if scale is None:
        raise InvalidValue(NEITHER_FIXED_NOR_DYNAMIC, path=("loss_scale",))
    if isinstance(scale, FixedLossScale):
        return {"dynamic": False, "initial_scale": scale.loss_scale_value}
    _check_multiplier(scale, _CANNOT_DESERIALIZE)
    return {
        "dynamic": True,
        "initial_scale": scale.initial_loss_scale,
        "dynamic_growth_steps": scale.increment_period,
    }


def _check_multiplier(scale: LossScale | None, text: str) -> None:
    if isinstance(scale, DynamicLossScale) and scale.multiplier != 2:
        raise InvalidValue(f"{text}{scale}", code="multiplier", path=("loss_scale", "config", "multiplier"))


def _scale_of(arguments: dict[str, Any]) -> LossScale:
    """Take the three settings of a config of TF 2.4 out of the arguments, as the loss scale they make."""
    dynamic, scale = taken(arguments, "dynamic"), taken(arguments, "initial_scale")
    steps = taken(arguments, "dynamic_growth_steps")
    return DynamicLossScale(scale, steps) if dynamic else FixedLossScale(scale)
