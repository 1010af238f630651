"""Distances between numbers, mean over the last axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine import ops
from engine.configured import any_integer, any_number, optional, setting, text
from engine.conventions import Conventions
from engine.losses.base import EPSILON, Loss, at_least, same_rank
from engine.losses.sums import kernel_of
from engine.ops import losses as ops_of_losses
from engine.ops.narrow_losses import l2_normalized, softplus_steps
from engine.ops.powers import reciprocal_root
from engine.tape import Array, Tensor, constant

_SMALLEST_SQUARES = 1e-12
"""What ``tf.math.l2_normalize`` takes for a smaller sum of squares."""


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """``mean((y_pred - y_true) ** 2)``."""

    name: str | None = setting(optional(text), "mean_squared_error")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        return self._mean(squared_difference(y_pred, labels, self.conventions), axis=-1)


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """``mean(|y_pred - y_true|)``."""

    name: str | None = setting(optional(text), "mean_absolute_error")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        return self._mean(ops.absolute(ops.subtract(y_pred, labels)), axis=-1)


@dataclass(frozen=True)
class MeanAbsolutePercentageError(Loss):
    """``100 * mean(|(y_true - y_pred) / y_true|)``; labels smaller than epsilon count as epsilon."""

    name: str | None = setting(optional(text), "mean_absolute_percentage_error")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        sizes = at_least(ops.absolute(labels), EPSILON)
        shares = ops.absolute(ops.divide(ops.subtract(labels, y_pred), sizes))
        return ops.scale(self._mean(shares, axis=-1), 100.0)


@dataclass(frozen=True)
class MeanSquaredLogarithmicError(Loss):
    """``mean((log(1 + y_pred) - log(1 + y_true)) ** 2)`` of numbers not below epsilon."""

    name: str | None = setting(optional(text), "mean_squared_logarithmic_error")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        return self._mean(squared_difference(_log_of_next(y_pred), _log_of_next(labels), self.conventions), axis=-1)


def squared_difference(a: Tensor, b: Tensor, line: Conventions) -> Tensor:
    """Return ``(a - b) ** 2``: one op in Keras 2, whose gradient does not overflow where that of the square does."""
    return ops.square(ops.subtract(a, b)) if line.keras3 else ops_of_losses.squared_difference(a, b)


def _log_of_next(x: Tensor) -> Tensor:
    return ops.log(ops.add(at_least(x, EPSILON), constant(1, x.dtype)))


@dataclass(frozen=True)
class Huber(Loss):
    """``error ** 2 / 2``, linear from ``delta`` on; in floatx also under Keras 2."""

    name: str | None = setting(optional(text), "huber_loss")
    delta: float = setting(any_number, 1.0, only="keras2")  # Keras 3 forgets to write it

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in floatx (in a metric of Keras 3, in y_pred's dtype)."""
        if not self.conventions.keras3:
            y_pred = ops.cast(y_pred, self.conventions.floatx)
        labels, y_pred = same_rank(y_true, y_pred)
        error = ops.subtract(y_pred, labels)
        size = ops.absolute(error)
        delta = constant(self.delta, size.dtype)
        squared = ops.scale(ops.square(error), 0.5)
        linear = ops.subtract(ops.multiply(delta, size), ops.scale(ops.square(delta), 0.5))
        return self._mean(ops.where(size.data <= delta.data, squared, linear), axis=-1)


@dataclass(frozen=True)
class LogCosh(Loss):
    """``log(cosh(y_pred - y_true))``, without overflow."""

    name: str | None = setting(optional(text), "log_cosh")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        error = ops.subtract(y_pred, labels)
        log2 = constant(np.log(np.float32(2)), error.dtype)  # a float32 number also in float64 (as TF has it)
        return self._mean(ops.subtract(ops.add(error, self._softplus(ops.scale(error, -2.0))), log2), axis=-1)

    def _softplus(self, x: Tensor) -> Tensor:
        return softplus_steps(x, kernel_of(self.conventions)) if x.dtype.low_precision else ops.softplus(x)


@dataclass(frozen=True)
class CosineSimilarity(Loss):
    """``-sum(y_true / |y_true| * y_pred / |y_pred|)`` over an axis: -1 for the same direction."""

    name: str | None = setting(optional(text), "cosine_similarity")
    axis: int = setting(any_integer, -1, only="keras2")  # Keras 3 forgets to write it

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Sum over the axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        product = ops.multiply(self._normalized(labels), self._normalized(y_pred))
        return ops.negative(self._sum(product, axis=self.axis))

    def _normalized(self, x: Tensor) -> Tensor:
        if not self.conventions.keras3:
            floor = float(constant(_SMALLEST_SQUARES, x.dtype).data)
            return l2_normalized(x, self.axis, floor, kernel_of(self.conventions))
        squares = self._sum(ops.square(x), axis=self.axis, keepdims=True)
        return ops.multiply(x, ops.minimum(reciprocal_root(squares), constant(1 / EPSILON, x.dtype)))
