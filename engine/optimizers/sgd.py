"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.configured import boolean, fraction, setting
from engine.dtypes import DType
from engine.optimizers.base import Optimizer, blocks, float32_number_on, number_on, read_learning_rate
from engine.tape import Array, rounded


@dataclass(frozen=True)
class SGD(Optimizer):
    """``w -= lr * g``; with momentum ``m = momentum * m - lr * g; w += m`` (Nesterov: ``w += momentum * m - lr * g``).

    Source: ``keras.optimizers.SGD``.
    """

    learning_rate: float = setting(read_learning_rate, 0.01)
    momentum: float = setting(fraction, 0.0)
    nesterov: bool = setting(boolean, False)

    def slot_names(self) -> tuple[str, ...]:
        """The momentum, if there is any; tf_keras keeps it in any case."""
        return ("momentum",) if self.momentum or self.conventions.idle_momentum else ()

    def update(
        self, variable: Array, gradient: Array, slots: Mapping[str, Array], dtype: DType, rate: float, iterations: int
    ) -> None:
        """Update one variable in place."""
        lr = number_on(rate, dtype)
        if not slots:
            for w, g in blocks(variable, gradient):
                np.subtract(w, rounded(g * lr, dtype), out=w)
                rounded(w, dtype)
            return
        momentum = float32_number_on(self.momentum, dtype)
        for w, g, m in blocks(variable, gradient, slots["momentum"]):
            step = rounded(g * lr, dtype)
            np.subtract(rounded(m * momentum, dtype), step, out=m)
            rounded(m, dtype)
            move = rounded(rounded(m * momentum, dtype) - step, dtype) if self.nesterov else m
            np.add(w, move, out=w)
            rounded(w, dtype)
