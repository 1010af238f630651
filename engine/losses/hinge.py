"""Hinge losses: nothing is lost once a prediction is on the right side by a margin of 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine import ops
from engine.configured import optional, setting, text
from engine.losses.base import Loss, one_minus, same_rank
from engine.tape import Array, Tensor, constant


def _margins(y_true: Array, y_pred: Tensor) -> Tensor:
    """Return ``max(1 - y_true * y_pred, 0)``; labels that are all 0 or 1 become -1 or 1."""
    labels, y_pred = same_rank(y_true, y_pred)
    if np.isin(labels.data, (0, 1)).all():
        labels = ops.subtract(ops.scale(labels, 2.0), constant(1, labels.dtype))
    return ops.maximum_scalar(one_minus(ops.multiply(labels, y_pred)), 0.0)


@dataclass(frozen=True)
class Hinge(Loss):
    """``mean(max(1 - y_true * y_pred, 0))`` of labels -1 and 1 (or 0 and 1)."""

    name: str | None = setting(optional(text), "hinge")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        return self._mean(_margins(y_true, y_pred), axis=-1)


@dataclass(frozen=True)
class SquaredHinge(Loss):
    """``mean(max(1 - y_true * y_pred, 0) ** 2)`` of labels -1 and 1 (or 0 and 1)."""

    name: str | None = setting(optional(text), "squared_hinge")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        return self._mean(ops.square(_margins(y_true, y_pred)), axis=-1)


@dataclass(frozen=True)
class CategoricalHinge(Loss):
    """``max(largest wrong prediction - right prediction + 1, 0)`` of one-hot labels."""

    name: str | None = setting(optional(text), "categorical_hinge")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """One loss a row, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        right = self._sum(ops.multiply(labels, y_pred), axis=-1)
        wrong = ops.reduce_max(ops.multiply(one_minus(labels), y_pred), axis=-1)
        gap = ops.add(ops.subtract(wrong, right), constant(1, y_pred.dtype))
        return ops.maximum_scalar(gap, 0.0)
