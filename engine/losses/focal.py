"""Focal cross-entropies: what is classified well already counts little (Lin et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from engine import ops
from engine.configured import any_integer, any_number, boolean, fraction, optional, setting, text
from engine.losses.base import EPSILON, Loss, one_minus, same_rank
from engine.losses.crossentropy import of_probabilities, smoothed
from engine.ops.powers import power
from engine.tape import Array, Tensor, constant


@dataclass(frozen=True)
class BinaryFocalCrossentropy(Loss):
    """Binary cross-entropy times ``(1 - p_t) ** gamma``, p_t being the probability given to the true label."""

    name: str | None = setting(optional(text), "binary_focal_crossentropy")
    from_logits: bool = setting(boolean, False)
    label_smoothing: float = setting(fraction, 0.0)
    axis: int = setting(any_integer, -1)
    apply_class_balancing: bool = setting(boolean, False)
    alpha: float = setting(any_number, 0.25)
    gamma: float = setting(any_number, 2.0)

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        labels = smoothed(labels, self.label_smoothing, 2)
        # First of all, so that its gradient is added last, as TensorFlow adds it.
        crossentropy = self._crossentropy(labels, y_pred)
        p = ops.sigmoid(y_pred) if self.from_logits else y_pred
        of_true = ops.add(ops.multiply(labels, p), ops.multiply(one_minus(labels), one_minus(p)))
        losses = ops.multiply(power(one_minus(of_true), self.gamma), crossentropy)
        if self.apply_class_balancing:
            alpha = constant(self.alpha, labels.dtype)
            weights = ops.add(ops.multiply(labels, alpha), ops.multiply(one_minus(labels), one_minus(alpha)))
            losses = ops.multiply(weights, losses)
        return self._mean(losses, axis=self.axis)

    def _crossentropy(self, labels: Tensor, y_pred: Tensor) -> Tensor:
        logits = y_pred if self.from_logits else y_pred.logits
        if logits is not None:
            return ops.sigmoid_crossentropy(logits, labels.data)
        return of_probabilities(labels, y_pred, fuzzy=not self.conventions.clipped_binary_logs)


@dataclass(frozen=True)
class CategoricalFocalCrossentropy(Loss):
    """``-alpha * sum((1 - p) ** gamma * y log p)`` over the axis of the classes, of one-hot labels."""

    name: str | None = setting(optional(text), "categorical_focal_crossentropy")
    from_logits: bool = setting(boolean, False)
    label_smoothing: float = setting(fraction, 0.0)
    axis: int = setting(any_integer, -1)
    alpha: float = setting(any_number, 0.25)
    gamma: float = setting(any_number, 2.0)

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """One loss a row, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        labels = smoothed(labels, self.label_smoothing, labels.shape[-1])
        p = ops.softmax(y_pred, axis=self.axis) if self.from_logits else y_pred
        p = ops.divide(p, self._sum(p, axis=self.axis, keepdims=True))
        p = ops.clip(p, EPSILON, 1 - EPSILON)
        weights = ops.scale(power(one_minus(p), self.gamma), self.alpha)
        losses = ops.multiply(weights, ops.multiply(ops.negative(labels), ops.log(p)))
        return self._sum(losses, axis=self.axis)
