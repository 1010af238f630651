"""Losses of overlapping areas: over the whole batch, or over the axes given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine import ops
from engine.configured import any_integer, any_number, optional, setting, text
from engine.losses.base import EPSILON, Loss, one_minus, same_rank
from engine.tape import Array, Tensor, constant

Axes = int | tuple[int, ...] | None


def _axes(key: str, value: Any) -> Axes:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(any_integer(key, axis) for axis in value)
    whole: int = any_integer(key, value)
    return whole


@dataclass(frozen=True)
class Dice(Loss):
    """``1 - 2 * intersection / (sum of labels + sum of predictions)``."""

    name: str | None = setting(optional(text), "dice")
    axis: Axes = setting(optional(_axes), None)

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """The axes are summed over, all of them by default: shape () then."""
        labels, y_pred = same_rank(y_true, y_pred)
        intersection = self._sum(ops.multiply(labels, y_pred), axis=self.axis)
        both = ops.add(self._sum(labels, axis=self.axis), self._sum(y_pred, axis=self.axis))
        share = ops.divide(ops.scale(intersection, 2.0), ops.add(both, constant(EPSILON, y_pred.dtype)))
        return one_minus(share)


@dataclass(frozen=True)
class Tversky(Loss):
    """``1 - intersection / (intersection + alpha * missed + beta * wrongly found)`` (Salehi et al., 2017)."""

    name: str | None = setting(optional(text), "tversky")
    alpha: float = setting(any_number, 0.5)
    beta: float = setting(any_number, 0.5)
    axis: Axes = setting(optional(_axes), None)

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """The axes are summed over, all of them by default: shape () then."""
        labels, y_pred = same_rank(y_true, y_pred)
        intersection = self._sum(ops.multiply(labels, y_pred), axis=self.axis)
        missed = self._sum(ops.multiply(one_minus(y_pred), labels), axis=self.axis)
        wrong = self._sum(ops.multiply(y_pred, one_minus(labels)), axis=self.axis)
        weighted = ops.add(ops.add(intersection, ops.scale(missed, self.alpha)), ops.scale(wrong, self.beta))
        return one_minus(ops.divide(intersection, ops.add(weighted, constant(EPSILON, y_pred.dtype))))
