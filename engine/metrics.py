"""Metrics: functions of labels and predictions, averaged over an epoch in float32.

A metric is a frozen value; what it accumulates is a small array (total, count) that lives in the TrainState.
Source: ``keras.metrics``. Functions run in the prediction's dtype: float16 squares overflow, as in Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from engine.configured import (
    Configured,
    any_number,
    choose,
    optional,
    positive_integer,
    refuse,
    serialized,
    setting,
    split_serialized,
    text,
    unsupported_unless,
)
from engine.conventions import TF24, Conventions
from engine.errors import located
from engine.losses import Loss
from engine.tape import Array, Tensor, rounded


@dataclass(frozen=True, kw_only=True)
class Metric(Configured):
    """Base: a mean over everything seen since the epoch began. Source: ``keras.metrics.MeanMetricWrapper``."""

    name: str | None = setting(optional(text), None)
    dtype: str | None = setting(unsupported_unless(None, "float32", "float64"), None)

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """Return one value per sample, or per entry of a sample."""
        raise AssertionError(f"{self.class_name} does not define its values")

    def initial(self) -> Array:
        """Return the empty accumulator: float32 (total, count)."""
        return np.zeros(2, np.float32)

    def updated(self, state: Array, y_true: Array, y_pred: Tensor, sample_weight: Array | None = None) -> Array:
        """Return the accumulator after one more batch."""
        values = np.asarray(self.values(y_true, y_pred), dtype=np.float32)
        if sample_weight is None:
            values = _of_samples(values)
            return state + np.array([values.sum(dtype=np.float32), values.size], np.float32)
        weights = np.asarray(sample_weight, np.float32)
        while weights.ndim > values.ndim:
            weights = weights[..., 0]
        # Entries that share a weight are averaged first: a sample counts once, however many entries it has.
        values = values.mean(axis=tuple(range(weights.ndim, values.ndim)), dtype=np.float32)
        weights = np.broadcast_to(weights, values.shape)
        total = _of_samples(values * weights).sum(dtype=np.float32)
        return state + np.array([total, _of_samples(weights).sum(dtype=np.float32)], np.float32)

    def result(self, state: Array) -> float:
        """Return the mean so far; 0 before anything was seen."""
        return float(state[0] / state[1]) if state[1] else 0.0


def _of_samples(values: Array) -> Array:
    """Return the mean over all axes but that of the samples."""
    return values.mean(axis=tuple(range(1, values.ndim)), dtype=np.float32) if values.ndim > 1 else values


def _row_labels(y_true: Array, y_pred: Tensor) -> Array:
    labels = np.asarray(y_true)
    return labels[..., 0] if labels.ndim == y_pred.ndim and labels.shape[-1] == 1 else labels


@dataclass(frozen=True)
class Accuracy(Metric):
    """How often predictions equal labels."""

    name: str | None = setting(optional(text), "accuracy")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where equal."""
        return np.asarray(y_true).reshape(y_pred.shape) == y_pred.data


@dataclass(frozen=True)
class BinaryAccuracy(Metric):
    """How often ``y_pred > threshold`` equals the label, mean over the last axis."""

    name: str | None = setting(optional(text), "binary_accuracy")
    threshold: float = setting(any_number, 0.5)

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """Share of equal entries a row."""
        chosen = (y_pred.data > y_pred.data.dtype.type(self.threshold)).astype(np.float32)
        equal = np.asarray(y_true).reshape(y_pred.shape).astype(np.float32) == chosen
        return np.asarray(equal.mean(axis=-1, dtype=np.float32))


@dataclass(frozen=True)
class CategoricalAccuracy(Metric):
    """How often the largest prediction is at the place of the largest label."""

    name: str | None = setting(optional(text), "categorical_accuracy")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where the places are equal; the first of ties counts."""
        return np.asarray(y_true).argmax(axis=-1) == y_pred.data.argmax(axis=-1)


@dataclass(frozen=True)
class SparseCategoricalAccuracy(Metric):
    """How often the largest prediction is at the place that the class number names."""

    name: str | None = setting(optional(text), "sparse_categorical_accuracy")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where they are equal; the first of ties counts."""
        return _row_labels(y_true, y_pred) == y_pred.data.argmax(axis=-1)


def _in_top(labels: Array, y_pred: Tensor, k: int) -> Array:
    """Return whether each label's prediction is among the k largest (``tf.math.in_top_k``: nonfinite is never)."""
    scores = y_pred.data
    of_label = np.take_along_axis(scores, labels[..., np.newaxis].astype(np.int64), axis=-1)
    larger = (scores > of_label).sum(axis=-1)
    return np.asarray((larger < k) & np.isfinite(of_label[..., 0]))


@dataclass(frozen=True)
class TopKCategoricalAccuracy(Metric):
    """How often the labelled class is among the k largest predictions."""

    name: str | None = setting(optional(text), "top_k_categorical_accuracy")
    k: int = setting(positive_integer, 5)

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where it is."""
        return _in_top(np.asarray(y_true).argmax(axis=-1), y_pred, self.k)


@dataclass(frozen=True)
class SparseTopKCategoricalAccuracy(Metric):
    """How often the class number is among the k largest predictions."""

    name: str | None = setting(optional(text), "sparse_top_k_categorical_accuracy")
    k: int = setting(positive_integer, 5)
    from_sorted_ids: bool = setting(unsupported_unless(False), False, only="set")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """1 where it is."""
        return _in_top(_row_labels(y_true, y_pred), y_pred, self.k)


def _differences(y_true: Array, y_pred: Tensor) -> Array:
    labels = np.asarray(y_true).reshape(y_pred.shape).astype(y_pred.data.dtype)
    return rounded(y_pred.data - rounded(labels, y_pred.dtype), y_pred.dtype)


@dataclass(frozen=True)
class MeanSquaredError(Metric):
    """Mean of ``(y_pred - y_true) ** 2``."""

    name: str | None = setting(optional(text), "mean_squared_error")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """Mean over the last axis."""
        differences = _differences(y_true, y_pred)
        return rounded(rounded(differences * differences, y_pred.dtype).mean(axis=-1), y_pred.dtype)


@dataclass(frozen=True)
class MeanAbsoluteError(Metric):
    """Mean of ``|y_pred - y_true|``."""

    name: str | None = setting(optional(text), "mean_absolute_error")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """Mean over the last axis."""
        return rounded(np.abs(_differences(y_true, y_pred)).mean(axis=-1), y_pred.dtype)


METRICS: Mapping[str, type[Metric]] = MappingProxyType(
    {
        metric.class_name: metric
        for metric in (
            Accuracy,
            BinaryAccuracy,
            CategoricalAccuracy,
            MeanAbsoluteError,
            MeanSquaredError,
            SparseCategoricalAccuracy,
            SparseTopKCategoricalAccuracy,
            TopKCategoricalAccuracy,
        )
    }
)
"""Every metric class by its Keras name."""

_ALIASES = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
}
_ACCURACY = ("accuracy", "acc")
NAMES: Mapping[str, type[Metric]] = MappingProxyType({**_ALIASES, **METRICS, **dict.fromkeys(_ACCURACY, Accuracy)})
"""Every name that stands for a metric with its defaults; the metric is shown under the name that was given."""


def get(identifier: Any, loss: Loss | None = None, output_size: int | None = None) -> Metric:
    """Read a metric: a name, a serialized dict of Keras 2 or 3, or a Metric.

    "accuracy" becomes the accuracy that fits, as Keras chooses it: binary for one output, sparse for class numbers,
    else categorical.

    Args:
        identifier: what to read.
        loss: the model's loss; tells whether labels are class numbers.
        output_size: size of the last output axis.

    Raises:
        Unsupported: an unknown name or class.
        InvalidValue: not an identifier.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str):
        if identifier in _ACCURACY:
            return _fitting_accuracy(loss, output_size)(name=identifier)
        cls: type[Metric] = choose("metric", NAMES, identifier)
        return cls(name=identifier) if identifier in _ALIASES else cls()
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    raise refuse("metrics", "the name of a metric or a serialized metric", identifier)


def _fitting_accuracy(loss: Loss | None, output_size: int | None) -> type[Metric]:
    if output_size == 1:
        return BinaryAccuracy
    return CategoricalAccuracy if loss is not None and not loss.labels_are_classes else SparseCategoricalAccuracy


def deserialize(config: Mapping[str, Any]) -> Metric:
    """Return the metric that ``{"class_name", "config"}`` describes."""
    class_name, inner = split_serialized("metric", config)
    cls: type[Metric] = choose("metric", METRICS, class_name)
    with located("config"):
        return cls.from_config(inner)


def serialize(metric: Metric, conventions: Conventions = TF24) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of a metric."""
    return serialized(metric, conventions, "keras.metrics")
