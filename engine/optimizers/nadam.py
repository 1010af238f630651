"""Nadam: Adam with Nesterov momentum, and a momentum that warms up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any, ClassVar

import numpy as np

from engine.configured import fraction, not_negative, setting
from engine.dtypes import FLOAT32, DType
from engine.errors import InvalidValue
from engine.optimizers.adam import powers
from engine.optimizers.arithmetic import Grid, blocks, float32_number_on, grid, number_on
from engine.optimizers.base import Moment, Optimizer
from engine.optimizers.rows import Target, Touches
from engine.schedules import Schedule
from engine.tape import Array
from engine.weights import WeightSpec

PRODUCT = "u_product"
"""The slot of the product of all momenta so far; one for all variables, in the dtype of the first."""

_WARMUP = 0.96


@dataclass(frozen=True)
class Nadam(Optimizer):
    """Adam with Nesterov momentum. Source: ``keras.optimizers.Nadam``.

    The momentum of update t is ``beta_1 * (1 - 0.5 * 0.96 ** t)``; in TF 2.4, ``0.96 ** (decay * t)``, whose ``decay``
    leaves the learning rate alone.

    In tf_keras the product of momenta shrinks faster (observed): its cache is keyed by a Python counter, which counts
    when the training function is traced, twice, and not when it runs. So each of n variables multiplies the product
    once more, but for variable k (from 0) in update n - 1 + k.
    """

    tf24_touches: ClassVar[Touches] = "slots"

    beta_1: float = setting(fraction, 0.9)
    beta_2: float = setting(fraction, 0.999)
    epsilon: float = setting(not_negative, 1e-7)
    decay: float = setting(not_negative, 0.004, only="tf2.4")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.conventions.fused_updates and isinstance(self.learning_rate, Schedule):
            message = "The Nadam optimizer of TF 2.4 does not support a schedule as its learning rate. Use a number."
            raise InvalidValue(message, path=("learning_rate",))

    @property
    def decay_of_rate(self) -> float:
        """None: ``decay`` is that of the momentum."""
        return 0.0

    @property
    def elementwise(self) -> bool:  # type: ignore[override]
        """Whether variables may be updated as one: not where each has a product of its own."""
        return not self._cached_by_tracing

    @property
    def _cached_by_tracing(self) -> bool:
        return not (self.conventions.keras3 or self.conventions.fused_updates)

    def slot_names(self) -> tuple[str, ...]:
        """Both moments."""
        return ("momentum", "velocity")

    def shared_slots(self, specs: Sequence[WeightSpec]) -> dict[str, Array]:
        """The product of all momenta so far, from 1."""
        dtype = specs[0].dtype if specs else FLOAT32
        return {PRODUCT: np.ones((), dtype.storage)}

    def advance(self, count: int, slots: Mapping[str, Array], specs: Sequence[WeightSpec]) -> None:
        """Multiply the product by the momentum of this update, where that happens once for all variables."""
        if self._cached_by_tracing:
            return
        product, dtype = slots[PRODUCT], specs[0].dtype if specs else FLOAT32
        if self.conventions.keras3:
            # Keras 3 multiplies by beta first, and by full numbers, not float32 ones.
            power = number_on(number_on(_WARMUP, dtype) ** number_on(count + 1, dtype), dtype)
            warm = number_on(1 - number_on(0.5 * power, dtype), dtype)
            product[...] = number_on(number_on(product * number_on(self.beta_1, dtype), dtype) * warm, dtype)
        else:
            product[...] = number_on(product * self._momentum(count + 1, dtype), dtype)

    def _momentum(self, t: int, dtype: DType) -> Any:
        step = number_on(t, dtype)
        exponent = number_on(number_on(self.decay, dtype) * step, dtype) if self.conventions.fused_updates else step
        power = number_on(float32_number_on(_WARMUP, dtype) ** exponent, dtype)
        warm = number_on(1 - number_on(0.5 * power, dtype), dtype)
        return number_on(float32_number_on(self.beta_1, dtype) * warm, dtype)

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return (rate, betas, 1 - betas, epsilon, factors of momentum and gradient, 1 - beta_2 ** t).

        Last come, variable by variable, what the product and the next one leave of 1.
        """
        dtype = moment.dtype
        betas = [float32_number_on(beta, dtype) for beta in (self.beta_1, self.beta_2)]
        keeps = [number_on(1 - beta, dtype) for beta in betas]
        now, following = self._momentum(moment.count + 1, dtype), self._momentum(moment.count + 2, dtype)
        rest = number_on(1 - now, dtype)
        epsilon = number_on(self.epsilon, dtype)
        products = self._traced(moment, slots, now) if self._cached_by_tracing else repeat(slots[PRODUCT])
        lefts = (_left(product, following, dtype) for product in products)
        return moment.rate, betas, keeps, epsilon, following, rest, powers(self.beta_2, moment), lefts

    def _traced(self, moment: Moment, slots: Mapping[str, Array], now: Any) -> Iterator[Array]:
        """Yield the product for each variable on its turn, moving it on as tf_keras's traced function does."""
        product = slots[PRODUCT]
        variables = sum(name.startswith("momentum/") for name in slots)
        for place in count():
            if moment.count != variables - 1 + place:
                product[...] = number_on(product * now, moment.dtype)
            yield product

    def update(self, target: Target, numbers: tuple[Any, ...]) -> None:
        """Update one variable and its slots in place."""
        rate, betas, keeps, epsilon, following, rest, correction, lefts = numbers
        left, left_next = next(lefts)
        on, slots = grid(target.dtype), target.slots
        average = _weighted if self.conventions.fused_updates else _moved
        arrays = (target.variable, target.gradient, target.magnitude, slots["momentum"], slots["velocity"])
        for w, g, q, m, v in blocks(*arrays):
            average(m, g, betas[0], keeps[0], on)
            average(v, on(q * q), betas[1], keeps[1], on)
            if self.conventions.fused_updates:
                ahead, bar = on(on(m / left_next) * following), on(on(g / left) * rest)
            else:
                ahead, bar = on(on(m * following) / left_next), on(on(g * rest) / left)
            on(np.add(ahead, bar, out=bar))
            move = on(np.divide(v, correction, out=ahead))
            on(np.add(on(np.sqrt(move, out=move)), epsilon, out=move))
            on(np.divide(on(np.multiply(bar, rate, out=bar)), move, out=move))
            on(np.subtract(w, move, out=w))


def _moved(average: Array, new: Array, beta: Any, keep: Any, on: Grid) -> None:
    """Move an average in place, as tf_keras and Keras 3 do: what was infinite once is no number from then on."""
    move = on(new - average)
    on(np.add(average, on(np.multiply(move, keep, out=move)), out=average))


def _weighted(average: Array, new: Array, beta: Any, keep: Any, on: Grid) -> None:
    """Weigh an average in place, as TF 2.4 does: what was infinite once stays so."""
    part = on(new * keep)
    on(np.add(on(np.multiply(average, beta, out=average)), part, out=average))


def _left(product: Array, following: Any, dtype: DType) -> tuple[Any, Any]:
    """Return 1 less the product of momenta, and less that of one more."""
    so_far = number_on(product, dtype)
    return number_on(1 - so_far, dtype), number_on(1 - number_on(so_far * following, dtype), dtype)
