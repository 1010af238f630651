"""Adam and its kin: Adam, AdamW, Adamax, Nadam, Lamb, Lion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from engine.configured import boolean, fraction, not_negative, setting
from engine.dtypes import DType
from engine.errors import InvalidValue
from engine.optimizers.arithmetic import blocks, float32_number_on, grid, number_on
from engine.optimizers.base import Moment, Optimizer
from engine.optimizers.rows import Target, Touches
from engine.tape import Array


class Numbers(NamedTuple):
    """What Adam computes with, on the variables' grid."""

    alpha: Any
    keep_1: Any
    keep_2: Any
    epsilon: Any


def powers(beta: float, moment: Moment) -> Any:
    """Return ``1 - beta ** t``; Keras on TensorFlow holds beta as float32 here."""
    power = number_on(float32_number_on(beta, moment.dtype) ** moment.t, moment.dtype)
    return number_on(1 - power, moment.dtype)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam in the epsilon-hat form (Kingma 2014, section 2, last formula). Source: ``keras.optimizers.Adam``.

    ``m += (g - m) * (1 - beta_1); v += (g ** 2 - v) * (1 - beta_2)``, then
    ``w -= m * lr * sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t) / (sqrt(v) + epsilon)`` with t from 1.
    """

    tf24_touches: ClassVar[Touches] = "all"

    beta_1: float = setting(fraction, 0.9)
    beta_2: float = setting(fraction, 0.999)
    epsilon: float = setting(not_negative, 1e-7)
    amsgrad: bool = setting(boolean, False)

    def slot_names(self) -> tuple[str, ...]:
        """Both moments, and with ``amsgrad`` the largest second moment so far."""
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> Numbers:
        """Return the bias-corrected rate, and what the moments take up."""
        dtype = moment.dtype
        root = number_on(np.sqrt(powers(self.beta_2, moment)), dtype)
        alpha = number_on(number_on(moment.rate * root, dtype) / powers(self.beta_1, moment), dtype)
        return Numbers(alpha, *self._complements(dtype), number_on(self.epsilon, dtype))

    def update(self, target: Target, numbers: Numbers) -> None:
        """Update one variable and its slots in place."""
        on, slots = grid(target.dtype), target.slots
        top = slots["velocity_hat"] if self.amsgrad else slots["velocity"]
        arrays = (target.variable, target.gradient, target.magnitude, slots["momentum"], slots["velocity"], top)
        for w, g, q, m, v, highest in blocks(*arrays):
            move = on(g - m)
            on(np.add(m, on(np.multiply(move, numbers.keep_1, out=move)), out=m))
            on(np.subtract(on(np.multiply(q, q, out=move)), v, out=move))
            on(np.add(v, on(np.multiply(move, numbers.keep_2, out=move)), out=v))
            if self.amsgrad:
                self.maximum(highest, v, out=highest)
            on(np.add(on(np.sqrt(highest, out=move)), numbers.epsilon, out=move))
            on(np.divide(on(m * numbers.alpha), move, out=move))
            on(np.subtract(w, move, out=w))

    def _complements(self, dtype: DType) -> tuple[Any, Any]:
        """Return (1 - beta_1, 1 - beta_2): of Python floats, or of float32 numbers in TF's kernel."""
        if not self.conventions.fused_updates:
            return number_on(1 - self.beta_1, dtype), number_on(1 - self.beta_2, dtype)
        return (
            number_on(1 - float32_number_on(self.beta_1, dtype), dtype),
            number_on(1 - float32_number_on(self.beta_2, dtype), dtype),
        )


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay by default. Source: ``keras.optimizers.AdamW``."""

    weight_decay: float | None = setting(not_negative, 0.004)


@dataclass(frozen=True)
class Adamax(Optimizer):
    """Adam by the largest gradient instead of the second moment. Source: ``keras.optimizers.Adamax``.

    ``m += (g - m) * (1 - beta_1); u = max(beta_2 * u, |g|); w -= lr * m / ((1 - beta_1 ** t) * (u + epsilon))``.
    """

    beta_1: float = setting(fraction, 0.9)
    beta_2: float = setting(fraction, 0.999)
    epsilon: float = setting(not_negative, 1e-7)

    def slot_names(self) -> tuple[str, ...]:
        """The first moment and the decayed largest magnitude."""
        return ("momentum", "norm")

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return (rate, 1 - beta_1, beta_2, epsilon, 1 - beta_1 ** t)."""
        dtype = moment.dtype
        read = float32_number_on if self.conventions.fused_updates else number_on
        one = read(self.beta_1, dtype) if self.conventions.fused_updates else self.beta_1
        correction = powers(self.beta_1, moment)
        return (
            moment.rate,
            number_on(1 - one, dtype),
            read(self.beta_2, dtype),
            number_on(self.epsilon, dtype),
            correction,
        )

    def update(self, target: Target, numbers: tuple[Any, ...]) -> None:
        """Update one variable and its slots in place."""
        rate, keep_1, beta_2, epsilon, correction = numbers
        on, slots = grid(target.dtype), target.slots
        for w, g, size, m, u in blocks(target.variable, target.gradient, target.size, slots["momentum"], slots["norm"]):
            move = on(g - m)
            on(np.add(m, on(np.multiply(move, keep_1, out=move)), out=m))
            self.maximum(on(np.multiply(u, beta_2, out=u)), np.abs(size), out=u)
            on(np.add(u, epsilon, out=move))
            if self.conventions.fused_updates:
                on(np.multiply(on(np.divide(m, move, out=move)), number_on(rate / correction, target.dtype), out=move))
            else:
                on(np.divide(on(m * rate), on(np.multiply(move, correction, out=move)), out=move))
            on(np.subtract(w, move, out=w))


@dataclass(frozen=True)
class Lamb(Optimizer):
    """Adam whose step is as long, relative to the variable, for every variable. Source: ``keras.optimizers.Lamb``."""

    elementwise: ClassVar[bool] = False

    beta_1: float = setting(fraction, 0.9)
    beta_2: float = setting(fraction, 0.999)
    epsilon: float = setting(not_negative, 1e-7)

    def slot_names(self) -> tuple[str, ...]:
        """Both moments."""
        return ("momentum", "velocity")

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return (rate, 1 - beta_1, 1 - beta_2, epsilon, 1 - beta_1 ** t, 1 - beta_2 ** t)."""
        keeps = (number_on(1 - beta, moment.dtype) for beta in (self.beta_1, self.beta_2))
        corrections = (powers(beta, moment) for beta in (self.beta_1, self.beta_2))
        return moment.rate, *keeps, number_on(self.epsilon, moment.dtype), *corrections

    def update(self, target: Target, numbers: tuple[Any, ...]) -> None:
        """Update one variable and its slots in place."""
        rate, keep_1, keep_2, epsilon, correction_1, correction_2 = numbers
        on, slots = grid(target.dtype), target.slots
        step = np.empty(target.variable.shape, target.variable.dtype)
        arrays = (target.gradient, target.magnitude, slots["momentum"], slots["velocity"], step)
        for g, q, m, v, move in blocks(*arrays):
            on(np.subtract(g, m, out=move))
            on(np.add(m, on(np.multiply(move, keep_1, out=move)), out=m))
            on(np.subtract(on(np.multiply(q, q, out=move)), v, out=move))
            on(np.add(v, on(np.multiply(move, keep_2, out=move)), out=v))
            on(np.add(on(np.sqrt(on(np.divide(v, correction_2, out=move)), out=move)), epsilon, out=move))
            on(np.divide(on(m / correction_1), move, out=move))
        ratio = number_on(_ratio(_norm(target.variable, target.dtype), _norm(step, target.dtype)), target.dtype)
        factor = number_on(ratio * rate, target.dtype)
        for w, move in blocks(target.variable, step):
            on(np.subtract(w, on(np.multiply(move, factor, out=move)), out=w))


def _norm(array: Array, dtype: DType) -> Any:
    squares = grid(dtype)(np.square(array))
    return number_on(np.sqrt(number_on(squares.sum(), dtype)), dtype)


def _ratio(variable: Any, step: Any) -> Any:
    return variable / step if variable > 0 and step > 0 else 1.0


@dataclass(frozen=True)
class Lion(Optimizer):
    """Signs of a momentum. Source: ``keras.optimizers.Lion``.

    ``w -= lr * sign(m * beta_1 + g * (1 - beta_1)); m = m * beta_2 + g * (1 - beta_2)``.
    """

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"tf_keras": {"learning_rate": 1e-4}})

    beta_1: float = setting(fraction, 0.9)
    beta_2: float = setting(fraction, 0.99)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta_1 == 0:
            message = "`beta_1` must lie in ]0, 1]: with 0, only the signs of the gradients would count."
            raise InvalidValue(message, path=("beta_1",))

    def slot_names(self) -> tuple[str, ...]:
        """The momentum."""
        return ("momentum",)

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return (rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2)."""
        beta_1, beta_2 = (float32_number_on(beta, moment.dtype) for beta in (self.beta_1, self.beta_2))
        return moment.rate, beta_1, number_on(1 - beta_1, moment.dtype), beta_2, number_on(1 - beta_2, moment.dtype)

    def update(self, target: Target, numbers: tuple[Any, ...]) -> None:
        """Update one variable and its slots in place."""
        rate, beta_1, rest_1, beta_2, rest_2 = numbers
        on = grid(target.dtype)
        for w, g, m in blocks(target.variable, target.gradient, target.slots["momentum"]):
            move = on(m * beta_1)
            on(np.add(move, on(g * rest_1), out=move))
            on(np.subtract(w, on(np.multiply(np.sign(move, out=move), rate, out=move)), out=w))
            on(np.add(on(np.multiply(m, beta_2, out=m)), on(np.multiply(g, rest_2, out=move)), out=m))
