"""Learning rates that depend on the step, in float32 arithmetic, op by op as Keras's.

Schedules see the optimizer's raw counter. Keras 3 holds it still on a skipped step, Keras 2 does not: that is settled
where steps are counted, not here. Source: ``keras.optimizers.schedules``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from engine.configured import (
    Configured,
    any_number,
    boolean,
    choose,
    not_negative,
    number,
    numbers,
    optional,
    refuse,
    serialized,
    setting,
    split_serialized,
    text,
)
from engine.conventions import Conventions
from engine.errors import EngineError, InvalidValue

_ONE = np.float32(1)
_HALF = np.float32(0.5)
_PI = np.float32(math.pi)


def _steps(key: str, value: Any) -> float:
    """Read a number of steps; whether it was an integer is kept, because configs show it."""
    read = not_negative(key, value)
    return int(value) if isinstance(value, int | np.integer) else read


def _positive(key: str, value: Any) -> float:
    if not number(0.0, expected="a positive number")(key, value):
        raise refuse(key, "a positive number", value)
    return _steps(key, value)


@dataclass(frozen=True)
class Schedule(Configured):
    """Base: a frozen function of the step."""

    default_name: ClassVar[str] = ""

    def __call__(self, step: float) -> float:
        """Return the learning rate after so many steps: an exact float32 number.

        Args:
            step: the optimizer's counter: an integer, or in TF 2.4 a number of the variables' dtype.
        """
        with np.errstate(all="ignore"):
            return float(self.value(step))

    def value(self, step: float) -> Any:
        """Return the learning rate as a numpy float32; subclasses write only this."""
        raise AssertionError(f"{self.class_name} does not define its value")

    def get_config(self, conventions: Conventions | None = None) -> dict[str, Any]:
        """Return the settings; Keras 3 names a schedule that has no name, Keras 2 leaves it null."""
        config = super().get_config() if conventions is None else super().get_config(conventions)
        if conventions is not None and conventions.keras3 and config["name"] is None:
            config["name"] = self.default_name or self.class_name
        return config


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``initial * decay_rate ** (step / decay_steps)``; a staircase takes whole powers only."""

    initial_learning_rate: float = setting(any_number)
    decay_steps: float = setting(_positive)
    decay_rate: float = setting(any_number)
    staircase: bool = setting(boolean, False)
    name: str | None = setting(optional(text), None)

    def value(self, step: float) -> Any:
        """Return the learning rate after so many steps."""
        passed = _passed(step, self.decay_steps, self.staircase)
        return np.float32(self.initial_learning_rate) * np.float32(self.decay_rate) ** passed


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """``initial / (1 + decay_rate * step / decay_steps)``; a staircase takes whole periods only."""

    initial_learning_rate: float = setting(any_number)
    decay_steps: float = setting(_positive)
    decay_rate: float = setting(any_number)
    staircase: bool = setting(boolean, False)
    name: str | None = setting(optional(text), None)

    def value(self, step: float) -> Any:
        """Return the learning rate after so many steps."""
        passed = _passed(step, self.decay_steps, self.staircase)
        return np.float32(self.initial_learning_rate) / (_ONE + np.float32(self.decay_rate) * passed)


@dataclass(frozen=True)
class PiecewiseConstantDecay(Schedule):
    """``values[i]`` up to and including step ``boundaries[i]``, the last value after that."""

    default_name: ClassVar[str] = "PiecewiseConstant"

    boundaries: tuple[float, ...] = setting(numbers)
    values: tuple[float, ...] = setting(numbers)
    name: str | None = setting(optional(text), None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.boundaries) != len(self.values) - 1 or not self.boundaries:
            message = (
                "`values` must have one entry more than `boundaries`, which must have at least one; got "
                f"{len(self.boundaries)} boundaries and {len(self.values)} values."
            )
            raise InvalidValue(message, path=("values",))
        if list(self.boundaries) != sorted(self.boundaries):
            raise refuse("boundaries", "rising numbers", list(self.boundaries)).at("boundaries")

    def value(self, step: float) -> Any:
        """Return the learning rate after so many steps."""
        # Boundaries are cast to the type of the step: truncated, where that is an integer.
        bounds = [type(step)(bound) for bound in self.boundaries]
        return np.float32(self.values[sum(step > bound for bound in bounds)])


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """``(initial - end) * (1 - step / decay_steps) ** power + end``; cycles lengthen to the next multiple."""

    initial_learning_rate: float = setting(any_number)
    decay_steps: float = setting(_positive)
    end_learning_rate: float = setting(any_number, 0.0001)
    power: float = setting(any_number, 1.0)
    cycle: bool = setting(boolean, False)
    name: str | None = setting(optional(text), None)

    def value(self, step: float) -> Any:
        """Return the learning rate after so many steps."""
        now, period = np.float32(step), np.float32(self.decay_steps)
        if self.cycle:
            period = period * (np.ceil(now / period) if now else _ONE)
        else:
            now = min(now, period)
        end = np.float32(self.end_learning_rate)
        left = (_ONE - now / period) ** np.float32(self.power)
        return (np.float32(self.initial_learning_rate) - end) * left + end


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Half a cosine from ``initial`` to ``alpha`` times it, after an optional linear warmup to ``warmup_target``."""

    initial_learning_rate: float = setting(any_number)
    decay_steps: float = setting(_positive)
    alpha: float = setting(any_number, 0.0)
    name: str | None = setting(optional(text), None)
    warmup_target: float | None = setting(optional(any_number), None, only="newer")
    warmup_steps: float = setting(_steps, 0, only="newer")

    def value(self, step: float) -> Any:
        """Return the learning rate after so many steps."""
        now, period, start = np.float32(step), np.float32(self.decay_steps), np.float32(self.initial_learning_rate)
        if self.warmup_target is None:
            return self._decayed(min(now, period), period, start)
        target, warmup = np.float32(self.warmup_target), np.float32(self.warmup_steps)
        now = min(now, period + warmup)
        if now < warmup:
            return (target - start) * (now / warmup) + start
        return self._decayed(now - warmup, period, target)

    def _decayed(self, now: Any, period: Any, start: Any) -> Any:
        wave = _HALF * (_ONE + np.cos(_PI * (now / period)))
        return start * (np.float32(1 - self.alpha) * wave + np.float32(self.alpha))


@dataclass(frozen=True)
class CosineDecayRestarts(Schedule):
    """Half cosines, each ``t_mul`` times as long and starting ``m_mul`` times as high as the one before (SGDR)."""

    default_name: ClassVar[str] = "SGDRDecay"

    initial_learning_rate: float = setting(any_number)
    first_decay_steps: float = setting(_positive)
    t_mul: float = setting(any_number, 2.0)
    m_mul: float = setting(any_number, 1.0)
    alpha: float = setting(any_number, 0.0)
    name: str | None = setting(optional(text), None)

    def value(self, step: float) -> Any:
        """Return the learning rate after so many steps."""
        restarts, fraction = self._period(np.float32(step) / np.float32(self.first_decay_steps))
        height = np.float32(self.m_mul) ** restarts
        wave = _HALF * height * (_ONE + np.cos(_PI * fraction))
        alpha = np.float32(self.alpha)
        return np.float32(self.initial_learning_rate) * ((_ONE - alpha) * wave + alpha)

    def _period(self, passed: Any) -> tuple[Any, Any]:
        """Return (restarts so far, share of the running period that has passed)."""
        growth = np.float32(self.t_mul)
        if growth == _ONE:
            restarts = np.floor(passed)
            return restarts, passed - restarts
        restarts = np.floor(np.log(_ONE - passed * (_ONE - growth)) / np.log(growth))
        before = (_ONE - growth**restarts) / (_ONE - growth)
        return restarts, (passed - before) / growth**restarts


def _passed(step: float, period: float, staircase: bool) -> Any:
    passed = np.float32(step) / np.float32(period)
    return np.floor(passed) if staircase else passed


SCHEDULES: Mapping[str, type[Schedule]] = MappingProxyType(
    {
        cls.class_name: cls
        for cls in (
            CosineDecay,
            CosineDecayRestarts,
            ExponentialDecay,
            InverseTimeDecay,
            PiecewiseConstantDecay,
            PolynomialDecay,
        )
    }
)
"""Every schedule by its Keras name."""


def deserialize(config: Mapping[str, Any]) -> Schedule:
    """Return the schedule that a serialized dict of Keras 2 or 3 describes.

    Raises:
        Unsupported: an unknown class.
        InvalidType, InvalidValue: its config is not accepted.
    """
    name, inner = split_serialized("schedule", config)
    cls: type[Schedule] = choose("schedule", SCHEDULES, name)
    try:
        return cls.from_config(inner)
    except EngineError as error:
        raise error.at("config") from None


def read_rate(key: str, value: Any) -> float | Schedule:
    """Read a learning rate: a number, a serialized schedule, or a Schedule."""
    if isinstance(value, Schedule):
        return value
    if isinstance(value, Mapping):
        return deserialize(value)
    return not_negative(key, value)


def write_rate(rate: float | Schedule, conventions: Conventions) -> Any:
    """Return what ``get_config`` shows of a learning rate."""
    return serialized(rate, conventions, "keras.optimizers.schedules") if isinstance(rate, Schedule) else rate
