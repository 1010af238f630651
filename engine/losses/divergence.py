"""How far predicted distributions are from the labels'."""

from __future__ import annotations

from dataclasses import dataclass

from engine import ops
from engine.configured import optional, setting, text
from engine.losses.base import EPSILON, Loss, same_rank
from engine.tape import Array, Tensor, constant


@dataclass(frozen=True)
class KLDivergence(Loss):
    """``sum(y_true * log(y_true / y_pred))`` over the last axis, of probabilities clipped to [epsilon, 1]."""

    name: str | None = setting(optional(text), "kl_divergence")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Sum over the last axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        labels, y_pred = ops.clip(labels, EPSILON, 1.0), ops.clip(y_pred, EPSILON, 1.0)
        return self._sum(ops.multiply(labels, ops.log(ops.divide(labels, y_pred))), axis=-1)


@dataclass(frozen=True)
class Poisson(Loss):
    """``mean(y_pred - y_true * log(y_pred + epsilon))``."""

    name: str | None = setting(optional(text), "poisson")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        logs = ops.log(ops.add(y_pred, constant(EPSILON, y_pred.dtype)))
        return self._mean(ops.subtract(y_pred, ops.multiply(labels, logs)), axis=-1)
