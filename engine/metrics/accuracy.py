"""How often predictions are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.configured import any_number, boolean, optional, positive_integer, setting, text
from engine.losses.base import on_grid, row_labels, same_rank
from engine.metrics.averaging import Averaged
from engine.metrics.base import places_of_largest, same_shape
from engine.tape import Array, Tensor


@dataclass(frozen=True)
class Accuracy(Averaged):
    """How often predictions equal labels."""

    name: str | None = setting(optional(text), "accuracy")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where equal, in the dtype of the predictions (Keras 2: in the metric's)."""
        labels, y_pred = same_rank(y_true, self.measured(y_pred))
        return labels.data == y_pred.data


@dataclass(frozen=True)
class BinaryAccuracy(Averaged):
    """How often ``y_pred > threshold`` equals the label."""

    name: str | None = setting(optional(text), "binary_accuracy")
    threshold: float = setting(any_number, 0.5)

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where equal."""
        labels, predictions = same_shape(y_true, y_pred, y_pred.data.dtype)
        return np.asarray(labels == (predictions > predictions.dtype.type(self.threshold)))


@dataclass(frozen=True)
class CategoricalAccuracy(Averaged):
    """How often the largest prediction is at the place of the largest label."""

    name: str | None = setting(optional(text), "categorical_accuracy")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where the places are equal; the first of ties counts."""
        return np.asarray(places_of_largest(y_true) == places_of_largest(y_pred.data))


@dataclass(frozen=True, kw_only=True)
class OfClasses(Averaged):
    """Base: labels are class numbers."""

    @property
    def labels_are_classes(self) -> bool:
        """They are."""
        return True


@dataclass(frozen=True)
class SparseCategoricalAccuracy(OfClasses):
    """How often the largest prediction is at the place that the class number names."""

    name: str | None = setting(optional(text), "sparse_categorical_accuracy")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where they are equal; the first of ties counts. Keras 3 compares in the dtype of the predictions."""
        labels, places = row_labels(y_true, y_pred), places_of_largest(y_pred.data)
        if self.conventions.keras3:
            labels, places = on_grid(labels, y_pred.dtype), on_grid(places, y_pred.dtype)
        return labels == places


def _in_top(labels: Array, y_pred: Tensor, k: int) -> Array:
    """Return whether each label's prediction is among the k largest (``tf.math.in_top_k``).

    Never where a prediction of the row is not finite or the label is no class.
    """
    scores, classes = y_pred.data, y_pred.shape[-1]
    known = (labels >= 0) & (labels < classes)
    places = np.where(known, labels, 0).astype(np.int64)
    larger = (scores > np.take_along_axis(scores, places[..., np.newaxis], axis=-1)).sum(axis=-1)
    return np.asarray((larger < k) & known & np.isfinite(scores).all(axis=-1))


@dataclass(frozen=True)
class TopKCategoricalAccuracy(Averaged):
    """How often the labelled class is among the k largest predictions."""

    name: str | None = setting(optional(text), "top_k_categorical_accuracy")
    k: int = setting(positive_integer, 5)

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where it is."""
        return _in_top(places_of_largest(y_true), y_pred, self.k)


@dataclass(frozen=True)
class SparseTopKCategoricalAccuracy(OfClasses):
    """How often the class number is among the k largest predictions."""

    name: str | None = setting(optional(text), "sparse_top_k_categorical_accuracy")
    k: int = setting(positive_integer, 5)
    from_sorted_ids: bool = setting(boolean, False, only="set")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where it is; `from_sorted_ids`: predictions are class numbers already, the likeliest first."""
        labels = row_labels(y_true, y_pred)
        if self.from_sorted_ids:
            return np.asarray((labels[..., np.newaxis] == y_pred.data[..., : self.k]).any(axis=-1))
        return _in_top(labels, y_pred, self.k)
