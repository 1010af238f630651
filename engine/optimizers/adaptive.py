"""Optimizers that divide by the root of accumulated squares: Adadelta, Adagrad, RMSprop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from engine.configured import boolean, fraction, not_negative, setting
from engine.dtypes import DType
from engine.optimizers.arithmetic import Grid, blocks, float32_number_on, grid, number_on
from engine.optimizers.base import Moment, Optimizer
from engine.optimizers.rows import Target, Touches
from engine.tape import Array
from engine.weights import WeightSpec


def _shares(optimizer: Optimizer, rho: float, dtype: DType) -> tuple[Any, Any]:
    """Return (rho, 1 - rho); TF 2.4 holds rho as float32."""
    if optimizer.conventions.fused_updates:
        kept = float32_number_on(rho, dtype)
        return kept, number_on(1 - kept, dtype)
    return number_on(rho, dtype), number_on(1 - rho, dtype)


def _mix(average: Array, news: Array, shares: tuple[Any, Any], on: Grid, scratch: Array) -> None:
    """Set ``average = rho * average + (1 - rho) * news`` in place; ``scratch`` may be the news."""
    on(np.multiply(average, shares[0], out=average))
    on(np.add(average, on(np.multiply(news, shares[1], out=scratch)), out=average))


@dataclass(frozen=True)
class Adadelta(Optimizer):
    """Steps as long as earlier steps were. Source: ``keras.optimizers.Adadelta``.

    ``a = rho * a + (1 - rho) * g ** 2; d = sqrt(u + epsilon) * g / sqrt(a + epsilon)``, then
    ``u = rho * u + (1 - rho) * d ** 2; w -= lr * d``.
    """

    rho: float = setting(fraction, 0.95)
    epsilon: float = setting(not_negative, 1e-7)

    def slot_names(self) -> tuple[str, ...]:
        """Decayed squares of gradients and of steps."""
        return ("accumulated_grad", "accumulated_delta_var")

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return (rate, (rho, 1 - rho), epsilon)."""
        return moment.rate, _shares(self, self.rho, moment.dtype), number_on(self.epsilon, moment.dtype)

    def update(self, target: Target, numbers: tuple[Any, ...]) -> None:
        """Update one variable and its slots in place."""
        rate, shares, epsilon = numbers
        on = grid(target.dtype)
        squares, steps = (target.slots[name] for name in self.slot_names())
        for w, g, q, a, u in blocks(target.variable, target.gradient, target.magnitude, squares, steps):
            fall = on(q * q)
            _mix(a, fall, shares, on, fall)
            _root(a, epsilon, fall, on, outside=False)
            rise = np.empty_like(fall)
            _root(u, epsilon, rise, on, outside=False)
            step = on(rise * g)
            on(np.divide(step, fall, out=step))
            part = on(np.divide(on(np.multiply(rise, q, out=rise)), fall, out=rise))
            _mix(u, on(np.multiply(part, part, out=part)), shares, on, part)
            on(np.subtract(w, on(np.multiply(step, rate, out=step)), out=w))


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """``a += g ** 2; w -= lr * g / sqrt(a + epsilon)``; TF 2.4 adds epsilon to the root.

    Source: ``keras.optimizers.Adagrad``.
    """

    initial_accumulator_value: float = setting(not_negative, 0.1)
    epsilon: float = setting(not_negative, 1e-7)

    def slot_names(self) -> tuple[str, ...]:
        """The sum of squares."""
        return ("accumulator",)

    def new_slots(self, spec: WeightSpec) -> dict[str, Array]:
        """The sum of squares begins at ``initial_accumulator_value``, which Keras 3 holds as float32."""
        read = float32_number_on if self.conventions.keras3 else number_on
        first = read(self.initial_accumulator_value, spec.dtype)
        return {"accumulator": np.full(spec.shape, first, spec.dtype.storage)}

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return (rate, epsilon)."""
        return moment.rate, number_on(self.epsilon, moment.dtype)

    def update(self, target: Target, numbers: tuple[Any, ...]) -> None:
        """Update one variable and its slots in place."""
        rate, epsilon = numbers
        on = grid(target.dtype)
        arrays = (target.variable, target.gradient, target.magnitude, target.slots["accumulator"])
        for w, g, q, a in blocks(*arrays):
            root = on(q * q)
            on(np.add(a, root, out=a))
            _root(a, epsilon, root, on, outside=self.conventions.fused_updates)
            on(np.subtract(w, on(np.divide(on(g * rate), root, out=root)), out=w))


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Divides by the root of a moving mean of squares. Source: ``keras.optimizers.RMSprop``.

    ``v = rho * v + (1 - rho) * g ** 2; w -= lr * g / sqrt(v + epsilon)``; ``centered`` takes the square of the mean
    gradient off v; with ``momentum``, ``m = momentum * m + step; w -= m``. TF 2.4 without momentum adds epsilon to the
    root.
    """

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {"tf_keras": {"ema_overwrite_frequency": 100}}
    )

    rho: float = setting(fraction, 0.9)
    momentum: float = setting(fraction, 0.0)
    epsilon: float = setting(not_negative, 1e-7)
    centered: bool = setting(boolean, False)

    @property
    def touches(self) -> Touches:
        """What is updated where only some rows have a gradient: in TF 2.4, momentum brings in a lazy kernel."""
        if not self.conventions.fused_updates:
            return super().touches
        return "rows" if self.momentum else "slots"

    def slot_names(self) -> tuple[str, ...]:
        """The mean of squares; the momentum and the mean gradient where they are asked for."""
        wanted = {"velocity": True, "momentum": self.momentum > 0, "average_gradient": self.centered}
        return tuple(name for name, there in wanted.items() if there)

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return (rate, (rho, 1 - rho), epsilon, momentum)."""
        read = float32_number_on if self.conventions.fused_updates else number_on
        epsilon, momentum = number_on(self.epsilon, moment.dtype), read(self.momentum, moment.dtype)
        return moment.rate, _shares(self, self.rho, moment.dtype), epsilon, momentum

    def update(self, target: Target, numbers: tuple[Any, ...]) -> None:
        """Update one variable and its slots in place."""
        rate, shares, epsilon, momentum = numbers
        on, velocity = grid(target.dtype), target.slots["velocity"]
        means = target.slots.get("average_gradient", velocity)
        momenta = target.slots.get("momentum", velocity)
        outside = self.conventions.fused_updates and not self.momentum
        for w, g, q, v, mean, m in blocks(target.variable, target.gradient, target.magnitude, velocity, means, momenta):
            step = on(q * q)
            _mix(v, step, shares, on, step)
            spread = v
            if self.centered:
                _mix(mean, g, shares, on, step)
                spread = on(np.subtract(v, on(np.multiply(mean, mean, out=step)), out=step))
            _root(spread, epsilon, step, on, outside=outside)
            on(np.divide(on(g * rate), step, out=step))
            if self.momentum:
                step = on(np.add(on(np.multiply(m, momentum, out=m)), step, out=m))
            on(np.subtract(w, step, out=w))


def _root(squares: Array, epsilon: Any, out: Array, on: Grid, *, outside: bool) -> None:
    """Write the root of squares into ``out``, epsilon added before or after it is taken."""
    if outside:
        on(np.add(on(np.sqrt(squares, out=out)), epsilon, out=out))
    else:
        on(np.sqrt(on(np.add(squares, epsilon, out=out)), out=out))
