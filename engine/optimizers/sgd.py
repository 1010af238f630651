"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.configured import boolean, fraction, setting
from engine.optimizers.arithmetic import blocks, float32_number_on, grid
from engine.optimizers.base import Moment, Optimizer
from engine.optimizers.rows import Target
from engine.schedules import Schedule, read_rate, write_rate
from engine.tape import Array


@dataclass(frozen=True)
class SGD(Optimizer):
    """``w -= lr * g``; with momentum ``m = momentum * m - lr * g; w += m`` (Nesterov: ``w += momentum * m - lr * g``).

    Source: ``keras.optimizers.SGD``.
    """

    learning_rate: float | Schedule = setting(read_rate, 0.01, write=write_rate)
    momentum: float = setting(fraction, 0.0)
    nesterov: bool = setting(boolean, False)

    def slot_names(self) -> tuple[str, ...]:
        """The momentum, if there is any; tf_keras keeps it in any case."""
        return ("momentum",) if self.momentum or self.conventions.idle_momentum else ()

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, Any]:
        """Return (rate, momentum)."""
        return moment.rate, float32_number_on(self.momentum, moment.dtype)

    def update(self, target: Target, numbers: tuple[Any, Any]) -> None:
        """Update one variable and its slots in place."""
        rate, momentum = numbers
        on = grid(target.dtype)
        if not target.slots:
            for w, g in blocks(target.variable, target.gradient):
                on(np.subtract(w, on(g * rate), out=w))
            return
        for w, g, m in blocks(target.variable, target.gradient, target.slots["momentum"]):
            step = on(g * rate)
            on(np.subtract(on(np.multiply(m, momentum, out=m)), step, out=m))
            move = on(np.subtract(on(m * momentum), step, out=step)) if self.nesterov else m
            on(np.add(w, move, out=w))
