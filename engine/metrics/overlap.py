"""Intersection over union of classes, from a confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.configured import (
    any_integer,
    any_number,
    boolean,
    optional,
    positive_integer,
    refuse,
    setting,
    text,
    unsupported_unless,
)
from engine.conventions import Conventions
from engine.dtypes import as_dtype
from engine.errors import InvalidValue, ShapeMismatch
from engine.losses import EPSILON
from engine.metrics.base import Metric, Shape, State, places_of_largest, ratio
from engine.tape import Array, Tensor

_MATRIX = "total_confusion_matrix"
_KINDS = ("int", "int32", "int64", "float32", "float64")


def _classes(key: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise refuse(key, "a list of class numbers", value)
    return tuple(any_integer(key, item) for item in value)


def _written_dtype(dtype: str | None, conventions: Conventions) -> str | None:
    return "int64" if conventions.keras3 and dtype in {None, "int"} else dtype


@dataclass(frozen=True, kw_only=True)
class Overlap(Metric):
    """Base: how often each class was predicted for each, as whole numbers in Keras 3 (weights are truncated)."""

    dtype: str | None = setting(unsupported_unless(None, *_KINDS), None, write=_written_dtype)

    @property
    def kind(self) -> np.dtype[Any]:
        """int64 in Keras 3 unless told otherwise, floatx before."""
        if self.dtype is None and not self.conventions.keras3:
            return self.conventions.floatx.storage
        return np.dtype(np.int64) if self.dtype in {None, "int"} else as_dtype(self.dtype).storage

    @property
    def size(self) -> int:
        """Number of classes."""
        raise AssertionError(f"{self.class_name} does not define its classes")

    @property
    def targets(self) -> Sequence[int]:
        """The classes whose overlaps are averaged."""
        return range(self.size)

    @property
    def labels_are_classes(self) -> bool:
        """They are where only the predictions hold one score a class."""
        return self._sparse("sparse_y_true") and not self._sparse("sparse_y_pred")

    def _sparse(self, key: str) -> bool:
        return bool(getattr(self, key))

    def check_axis(self, axes: int) -> None:
        """As other metrics; where labels and predictions are class numbers already, the axis is of no use."""
        if not (self._sparse("sparse_y_true") and self._sparse("sparse_y_pred")):
            super().check_axis(axes)

    def shapes(self, output: Shape) -> dict[str, tuple[int, ...]]:
        """Labels by predictions."""
        return {_MATRIX: (self.size, self.size)}

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """The batch's pairs; those of a class to ignore, or of no class at all, do not count."""
        labels, predictions = self.pairs(np.asarray(y_true), y_pred.data)
        if labels.size != predictions.size:
            raise ShapeMismatch(f"{self.class_name} got {labels.size} labels for {predictions.size} predictions.")
        labels, predictions = labels.astype(np.int64).ravel(), predictions.astype(np.int64).ravel()
        given = self.kind.type(1) if sample_weight is None else np.asarray(sample_weight).astype(self.kind).ravel()
        if given.size not in {1, labels.size}:
            message = (
                f"{self.class_name} counts {labels.size} predictions, but there are {given.size} sample weights. "
                "Give one for each prediction, or list it among `metrics`, which see no weights."
            )
            raise ShapeMismatch(message)
        weights = np.broadcast_to(given, labels.shape)
        kept = (labels >= 0) & (labels < self.size) & (predictions >= 0) & (predictions < self.size)
        ignored = getattr(self, "ignore_class", None)
        if ignored is not None:
            kept &= labels != ignored
        places = labels[kept] * self.size + predictions[kept]
        matrix = np.bincount(places, weights[kept], minlength=self.size**2).reshape(self.size, self.size)
        return {_MATRIX: matrix.astype(self.kind)}

    def pairs(self, labels: Array, predictions: Array) -> tuple[Array, Array]:
        """Return class numbers of labels and predictions."""
        axis = getattr(self, "axis", -1)
        return (
            labels if self._sparse("sparse_y_true") else places_of_largest(labels, axis),
            predictions if self._sparse("sparse_y_pred") else places_of_largest(predictions, axis),
        )

    def result(self, state: State) -> Array:
        """The mean over the target classes that occurred at all."""
        matrix = state[_MATRIX]
        both = matrix.diagonal()
        either = matrix.sum(axis=0) + matrix.sum(axis=1) - both
        chosen = list(self.targets)
        both, either = both[chosen].astype(np.float32), either[chosen].astype(np.float32)
        fuzz = np.float32(EPSILON if self.conventions.keras3 else 0)
        overlaps = np.where(either > 0, ratio(both, either + fuzz), np.float32(0))
        return ratio(overlaps.sum(), np.float32((either > 0).sum()) + fuzz)


@dataclass(frozen=True, kw_only=True)
class _OfClasses(Overlap):
    num_classes: int = setting(positive_integer)
    ignore_class: int | None = setting(optional(any_integer), None, only="newer")
    sparse_y_pred: bool = setting(boolean, True, only="newer")
    axis: int = setting(any_integer, -1, only="newer")

    @property
    def size(self) -> int:
        """As given."""
        return self.num_classes


@dataclass(frozen=True, kw_only=True)
class _OfTargets(_OfClasses):
    target_class_ids: tuple[int, ...] = setting(_classes)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= target < self.num_classes for target in self.target_class_ids):
            message = f"Target class id {max(self.target_class_ids)} is out of range, which is [0, {self.num_classes})."
            raise InvalidValue(message, path=("target_class_ids",))

    @property
    def targets(self) -> Sequence[int]:
        """As given."""
        return self.target_class_ids


@dataclass(frozen=True, kw_only=True)
class IoU(_OfTargets):
    """Intersection over union, mean of some classes."""

    name: str | None = setting(optional(text), "io_u")
    sparse_y_true: bool = setting(boolean, True)


@dataclass(frozen=True, kw_only=True)
class MeanIoU(_OfClasses):
    """Intersection over union, mean of all classes."""

    name: str | None = setting(optional(text), "mean_io_u")
    sparse_y_true: bool = setting(boolean, True, only="newer")


@dataclass(frozen=True, kw_only=True)
class OneHotIoU(_OfTargets):
    """Intersection over union of one-hot labels, mean of some classes."""

    name: str | None = setting(optional(text), "one_hot_io_u")
    sparse_y_pred: bool = setting(boolean, False)

    def _sparse(self, key: str) -> bool:
        return key == "sparse_y_pred" and self.sparse_y_pred


@dataclass(frozen=True, kw_only=True)
class OneHotMeanIoU(_OfClasses):
    """Intersection over union of one-hot labels, mean of all classes."""

    name: str | None = setting(optional(text), "one_hot_mean_io_u")
    sparse_y_pred: bool = setting(boolean, False)

    def _sparse(self, key: str) -> bool:
        return key == "sparse_y_pred" and self.sparse_y_pred


@dataclass(frozen=True)
class BinaryIoU(Overlap):
    """Intersection over union of yes-no labels; a prediction not below the threshold is a yes."""

    name: str | None = setting(optional(text), "binary_io_u")
    target_class_ids: tuple[int, ...] = setting(_classes, (0, 1))
    threshold: float = setting(any_number, 0.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not set(self.target_class_ids) <= {0, 1}:
            message = f"Target class id {max(self.target_class_ids)} is out of range, which is [0, 2)."
            raise InvalidValue(message, path=("target_class_ids",))

    @property
    def size(self) -> int:
        """No and yes."""
        return 2

    @property
    def targets(self) -> Sequence[int]:
        """As given."""
        return self.target_class_ids

    def _sparse(self, key: str) -> bool:
        return True

    def pairs(self, labels: Array, predictions: Array) -> tuple[Array, Array]:
        """Return 0 or 1 for each prediction."""
        return labels, predictions >= predictions.dtype.type(self.threshold)
