"""Adam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.configured import boolean, fraction, not_negative, setting
from engine.dtypes import DType
from engine.optimizers.base import Optimizer, blocks, float32_number_on, number_on
from engine.tape import Array, rounded


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam in the epsilon-hat form (Kingma 2014, section 2, last formula). Source: ``keras.optimizers.Adam``.

    ``m += (g - m) * (1 - beta_1); v += (g ** 2 - v) * (1 - beta_2)``, then
    ``w -= m * lr * sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t) / (sqrt(v) + epsilon)`` with t from 1.
    """

    beta_1: float = setting(fraction, 0.9)
    beta_2: float = setting(fraction, 0.999)
    epsilon: float = setting(not_negative, 1e-7)
    amsgrad: bool = setting(boolean, False)

    def slot_names(self) -> tuple[str, ...]:
        """Both moments, and with ``amsgrad`` the largest second moment so far."""
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")

    def update(
        self, variable: Array, gradient: Array, slots: Mapping[str, Array], dtype: DType, rate: float, iterations: int
    ) -> None:
        """Update one variable in place."""
        alpha = self._alpha(rate, iterations, dtype)
        keep_1, keep_2 = self._complements(dtype)
        epsilon = number_on(self.epsilon, dtype)
        largest = slots.get("velocity_hat", slots["velocity"])
        for w, g, m, v, top in blocks(variable, gradient, slots["momentum"], slots["velocity"], largest):
            move = rounded(g - m, dtype)
            np.multiply(move, keep_1, out=move)
            np.add(m, rounded(move, dtype), out=m)
            rounded(m, dtype)
            np.multiply(g, g, out=move)
            np.subtract(rounded(move, dtype), v, out=move)
            np.multiply(rounded(move, dtype), keep_2, out=move)
            np.add(v, rounded(move, dtype), out=v)
            rounded(v, dtype)
            if top is not v:
                # A nan never gets into the maximum of Keras 2's fused kernel; Keras 3 lets it in.
                (np.maximum if self.conventions.keras3 else np.fmax)(top, v, out=top)
            np.sqrt(top, out=move)
            np.add(rounded(move, dtype), epsilon, out=move)
            np.divide(rounded(m * alpha, dtype), rounded(move, dtype), out=move)
            np.subtract(w, rounded(move, dtype), out=w)
            rounded(w, dtype)

    def _alpha(self, rate: float, iterations: int, dtype: DType) -> Any:
        """Return the bias-corrected rate, op by op in the variable's dtype."""
        one = number_on(1, dtype)
        t = number_on(iterations + 1, dtype)
        power_1 = number_on(float32_number_on(self.beta_1, dtype) ** t, dtype)
        power_2 = number_on(float32_number_on(self.beta_2, dtype) ** t, dtype)
        root = number_on(np.sqrt(number_on(one - power_2, dtype)), dtype)
        return number_on(number_on(number_on(rate, dtype) * root, dtype) / number_on(one - power_1, dtype), dtype)

    def _complements(self, dtype: DType) -> tuple[Any, Any]:
        """Return (1 - beta_1, 1 - beta_2): of Python floats, or of float32 numbers in TF's kernel."""
        if not self.conventions.fused_updates:
            return number_on(1 - self.beta_1, dtype), number_on(1 - self.beta_2, dtype)
        one = number_on(1, dtype)
        return one - float32_number_on(self.beta_1, dtype), one - float32_number_on(self.beta_2, dtype)
