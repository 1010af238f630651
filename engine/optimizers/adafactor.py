"""Adafactor: second moments kept as the outer product of their row and column means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from engine.configured import any_number, boolean, not_negative, setting
from engine.dtypes import DType
from engine.optimizers.arithmetic import float32_number_on, grid, number_on
from engine.optimizers.base import Moment, Optimizer
from engine.optimizers.rows import Target
from engine.tape import Array
from engine.weights import WeightSpec


@dataclass(frozen=True)
class Adafactor(Optimizer):
    """Adaptive steps with little memory (Shazeer 2018). Source: ``keras.optimizers.Adafactor``.

    Variables of two axes and more keep means of squares over their last axis (r) and the one before (c); others keep
    all squares. ``velocity`` is what those stand for, kept as Keras keeps it. Steps are clipped to a root mean square
    of ``clip_threshold``, and are relative to the variable's own.
    """

    elementwise: ClassVar[bool] = False

    beta_2_decay: float = setting(any_number, -0.8)
    epsilon_1: float = setting(not_negative, 1e-30)
    epsilon_2: float = setting(not_negative, 0.001)
    clip_threshold: float = setting(not_negative, 1.0)
    relative_step: bool = setting(boolean, True)

    def slot_names(self) -> tuple[str, ...]:
        """Means over the last axis, over the one before, and the squares they stand for."""
        return ("r", "c", "velocity")

    def slot_shapes(self, spec: WeightSpec) -> dict[str, tuple[int, ...]]:
        """Variables of less than two axes have no means, and keep empty arrays in their place."""
        shape = spec.shape
        rows, columns = (shape[:-1], (*shape[:-2], shape[-1])) if len(shape) > 1 else ((0,), (0,))
        return {"r": rows, "c": columns, "velocity": shape}

    def numbers(self, moment: Moment, slots: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return (rate, beta_2 of this update, 1 - beta_2, both epsilons, the threshold)."""
        dtype = moment.dtype
        # `relative_step` changes nothing: the rate is limited by 1 / sqrt(t) either way, as in Keras.
        rate = min(moment.rate, number_on(1 / number_on(np.sqrt(moment.t), dtype), dtype))
        taken = number_on(moment.t ** number_on(self.beta_2_decay, dtype), dtype)
        beta_2 = number_on(1 - taken, dtype)
        epsilons = (number_on(self.epsilon_1, dtype), float32_number_on(self.epsilon_2, dtype))
        return rate, beta_2, number_on(1 - beta_2, dtype), *epsilons, number_on(self.clip_threshold, dtype)

    def update(self, target: Target, numbers: tuple[Any, ...]) -> None:
        """Update one variable and its slots in place."""
        rate, beta_2, rest, epsilon_1, epsilon_2, threshold = numbers
        dtype, on = target.dtype, grid(target.dtype)
        alpha = number_on(np.maximum(epsilon_2, _root_mean_square(target.variable, dtype)) * rate, dtype)
        squares = on(np.add(on(np.square(target.magnitude)), epsilon_1))
        v = target.slots["velocity"]
        if target.variable.ndim > 1:
            self._factor(target, squares, beta_2, rest)
        else:
            on(np.add(on(v * beta_2), on(np.multiply(squares, rest, out=squares)), out=v))
        root = on(np.sqrt(v, out=squares))
        step = on(np.divide(target.gradient, root))
        # The mean counts unmerged parts of rows one by one.
        parts = step if target.magnitude is target.gradient else on(np.divide(target.magnitude, root))
        length = number_on(_root_mean_square(parts, dtype) / threshold, dtype)
        on(np.divide(step, np.maximum(number_on(1, dtype), length), out=step))
        on(np.subtract(target.variable, on(np.multiply(step, alpha, out=step)), out=target.variable))

    def _factor(self, target: Target, squares: Array, beta_2: Any, rest: Any) -> None:
        on = grid(target.dtype)
        r, c, v = (target.slots[name] for name in self.slot_names())
        for mean, axis in ((r, -1), (c, -2)):
            news = on(squares.mean(axis=axis))
            on(np.add(on(mean * beta_2), on(np.multiply(news, rest, out=news)), out=mean))
        share = on(r / on(r.mean(axis=-1, keepdims=True)))
        on(np.multiply(share[..., None], c[..., None, :], out=v))


def _root_mean_square(array: Array, dtype: DType) -> Any:
    squares = grid(dtype)(np.square(array))
    return number_on(np.sqrt(number_on(squares.mean(), dtype)), dtype)
