"""Cross-entropies; the logits of a sigmoid or softmax head are used directly, as Keras uses ``_keras_logits``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine import ops
from engine.configured import any_integer, boolean, fraction, number, optional, setting, text, unsupported_unless
from engine.dtypes import DType
from engine.losses.base import EPSILON, Loss, check_classes, on_grid, one_minus, row_labels, same_rank
from engine.ops.powers import power
from engine.tape import Array, Tensor, constant

_open_fraction = number(np.nextafter(0, 1), np.nextafter(1, 0), "a number in (0, 1)")


def smoothed(labels: Tensor, smoothing: float, classes: int) -> Tensor:
    """Return labels moved towards ``1 / classes`` by a share; in steps of the dtype, as Keras computes them."""
    if not smoothing:
        return labels
    share = constant(smoothing, labels.dtype)
    kept = ops.multiply(labels, one_minus(share))
    return ops.add(kept, ops.divide(share, constant(classes, labels.dtype)))


def of_probabilities(labels: Tensor, y_pred: Tensor, *, fuzzy: bool) -> Tensor:
    """Return the elementwise binary cross-entropy of probabilities; `fuzzy` adds epsilon inside the logs (Keras 2)."""
    positive = ops.clip(y_pred, EPSILON, 1 - EPSILON)
    negative = one_minus(positive)
    if fuzzy:
        fuzz = constant(EPSILON, y_pred.dtype)
        positive, negative = ops.add(positive, fuzz), ops.add(negative, fuzz)
    likelihood = ops.add(ops.multiply(labels, ops.log(positive)), ops.multiply(one_minus(labels), ops.log(negative)))
    return ops.negative(likelihood)


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """``-y log p - (1 - y) log(1 - p)``, mean over an axis."""

    name: str | None = setting(optional(text), "binary_crossentropy")
    from_logits: bool = setting(boolean, False)
    label_smoothing: float = setting(fraction, 0.0)
    axis: int = setting(any_integer, -1, only="newer")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the axis, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        labels = smoothed(labels, self.label_smoothing, 2)
        logits = y_pred if self.from_logits else y_pred.logits
        if logits is not None:
            return self._mean(ops.sigmoid_crossentropy(logits, labels.data), axis=self.axis)
        fuzzy = not self.conventions.clipped_binary_logs
        return self._mean(of_probabilities(labels, y_pred, fuzzy=fuzzy), axis=self.axis)


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """``-sum(y log p)`` over the axis of the classes, of one-hot (or soft) labels."""

    name: str | None = setting(optional(text), "categorical_crossentropy")
    from_logits: bool = setting(boolean, False)
    label_smoothing: float = setting(fraction, 0.0)
    axis: int = setting(any_integer, -1, only="newer")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """One loss a row, in y_pred's dtype."""
        labels, y_pred = same_rank(y_true, y_pred)
        # Keras 3 counts the classes along the last axis, whatever the axis of the classes is.
        classes = labels.shape[-1 if self.conventions.keras3 else self.axis]
        labels = smoothed(labels, self.label_smoothing, classes)
        logits = y_pred if self.from_logits else y_pred.logits
        if logits is not None:
            return ops.softmax_crossentropy(logits, labels.data, self.axis)
        p = ops.divide(y_pred, self._sum(y_pred, axis=self.axis, keepdims=True))
        logs = ops.log(ops.clip(p, EPSILON, 1 - EPSILON))
        return ops.negative(self._sum(ops.multiply(labels, logs), axis=self.axis))


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """``-log p[label]`` of class numbers."""

    labels_are_classes: ClassVar[bool] = True

    name: str | None = setting(optional(text), "sparse_categorical_crossentropy")
    from_logits: bool = setting(boolean, False)
    ignore_class: int | None = setting(optional(any_integer), None, only="newer")
    axis: int = setting(unsupported_unless(-1, why="Keras 3 itself takes the last axis only"), -1, only="set")

    def seen(self, y_true: Array, dtype: DType) -> Array:
        """TF 2.4 rounds class numbers to the dtype of the predictions; later lines keep them."""
        narrow = self.conventions.labels_as_predicted and dtype.low_precision
        return on_grid(y_true, dtype) if narrow else y_true

    def valid(self, y_true: Array) -> Array | None:
        """Rows of any class but the one to ignore."""
        return None if self.ignore_class is None else np.asarray(y_true) != self.ignore_class

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """One loss a row, in y_pred's dtype; 0 for the class to ignore."""
        labels = self.seen(row_labels(y_true, y_pred), y_pred.dtype).astype(np.int64)
        kept = None if self.ignore_class is None else labels != self.ignore_class
        chosen = labels if kept is None else np.where(kept, labels, 0)
        check_classes(chosen, y_pred.shape[-1])
        losses = ops.sparse_softmax_crossentropy(self._logits(y_pred), chosen)
        if kept is None:
            return losses
        return ops.multiply(losses, Tensor(kept.astype(losses.data.dtype), losses.dtype))

    def _logits(self, y_pred: Tensor) -> Tensor:
        logits = y_pred if self.from_logits else y_pred.logits
        # The logarithm of clipped probabilities stands for logits: the kernel renormalizes it.
        return ops.log(ops.clip(y_pred, EPSILON, 1 - EPSILON)) if logits is None else logits


@dataclass(frozen=True)
class CategoricalGeneralizedCrossEntropy(Loss):
    """``(1 - p[label] ** q) / q`` of class numbers: between cross-entropy (q near 0) and absolute error (q near 1)."""

    labels_are_classes: ClassVar[bool] = True

    name: str | None = setting(optional(text), "categorical_generalized_cross_entropy")
    q: float = setting(_open_fraction, 0.5)

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """One loss a row, in y_pred's dtype."""
        labels = row_labels(y_true, y_pred).astype(np.int64)
        check_classes(labels, y_pred.shape[-1])
        chosen = np.zeros(y_pred.shape, y_pred.data.dtype)
        np.put_along_axis(chosen, labels[..., np.newaxis], 1, axis=-1)
        p = self._sum(ops.multiply(y_pred, Tensor(chosen, y_pred.dtype)), axis=-1)
        return ops.divide(one_minus(power(p, self.q)), constant(self.q, p.dtype))
