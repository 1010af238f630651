"""Ftrl: follow the regularized leader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.configured import not_negative, number, setting
from engine.optimizers.arithmetic import Grid, blocks, float32_number_on, grid, number_on
from engine.optimizers.base import Moment, Optimizer
from engine.optimizers.rows import Target
from engine.tape import Array
from engine.weights import WeightSpec

not_positive = number(high=0.0, expected="a number not above 0")


@dataclass(frozen=True)
class Ftrl(Optimizer):
    """Follow the regularized leader (McMahan 2013). Source: ``keras.optimizers.Ftrl``.

    With ``p = -learning_rate_power``: ``n = a + g ** 2``,
    ``z += g + 2 * l2_shrinkage * w - (n ** p - a ** p) / lr * w``,
    ``w = (clip(z, -l1, l1) - z) / (n ** p / lr + 2 * (l2 + beta / (2 * lr)))``, ``a = n``.
    """

    learning_rate_power: float = setting(not_positive, -0.5)
    initial_accumulator_value: float = setting(not_negative, 0.1)
    l1_regularization_strength: float = setting(not_negative, 0.0)
    l2_regularization_strength: float = setting(not_negative, 0.0)
    l2_shrinkage_regularization_strength: float = setting(not_negative, 0.0)
    beta: float = setting(number(), 0.0)

    def slot_names(self) -> tuple[str, ...]:
        """The sum of squares, and the linear term."""
        return ("accumulator", "linear")

    def new_slots(self, spec: WeightSpec) -> dict[str, Array]:
        """The sum of squares begins at ``initial_accumulator_value``, which Keras 3 and tf_keras hold as float32."""
        read = number_on if self.conventions.fused_updates else float32_number_on
        first = read(self.initial_accumulator_value, spec.dtype)
        return super().new_slots(spec) | {"accumulator": np.full(spec.shape, first, spec.dtype.storage)}

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return (rate, power, l1, 2 * l2 adjusted by beta, 2 * shrinkage)."""
        dtype, rate = moment.dtype, moment.rate
        # TF 2.4 holds all of them as float32.
        read = float32_number_on if self.conventions.fused_updates else number_on
        beta = number_on(read(self.beta, dtype) / number_on(2 * rate, dtype), dtype)
        l2 = number_on(2 * number_on(read(self.l2_regularization_strength, dtype) + beta, dtype), dtype)
        shrinkage = number_on(2 * read(self.l2_shrinkage_regularization_strength, dtype), dtype)
        l1 = read(self.l1_regularization_strength, dtype)
        return rate, read(-self.learning_rate_power, dtype), l1, l2, shrinkage

    def update(self, target: Target, numbers: tuple[Any, ...]) -> None:
        """Update one variable and its slots in place."""
        rate, power, l1, l2, shrinkage = numbers
        on, fused = grid(target.dtype), self.conventions.fused_updates
        accumulators, linears = target.slots["accumulator"], target.slots["linear"]
        for w, g, q, a, z in blocks(target.variable, target.gradient, target.magnitude, accumulators, linears):
            before = _power(a, power, on)
            on(np.add(a, on(q * q), out=a))
            after = _power(a, power, on)
            sigma = on(np.divide(on(np.subtract(after, before, out=before)), rate, out=before))
            pull = on(g + on(w * shrinkage)) if shrinkage or not fused else g.copy()
            on(np.subtract(pull, on(np.multiply(sigma, w, out=sigma)), out=pull))
            on(np.add(z, pull, out=z))
            quadratic = on(np.add(on(np.divide(after, rate, out=after)), l2, out=after))
            np.clip(z, -l1, l1, out=pull)
            on(np.divide(on(np.subtract(pull, z, out=pull)), quadratic, out=w))
            if fused:
                w[~(np.abs(z) > l1)] = 0  # a nan, too, is not beyond the limit


def _power(array: Array, power: Any, on: Grid) -> Array:
    root: Array = on(np.sqrt(array) if power == 0.5 else array**power)
    return root
