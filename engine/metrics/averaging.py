"""Means and sums over samples, and the metrics that are the mean of a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from engine import losses, ops
from engine.configured import any_integer, boolean, fraction, optional, setting, text
from engine.dtypes import as_dtype
from engine.losses import Loss
from engine.losses.base import check_weights, fitted, row_labels
from engine.metrics.base import Metric, Shape, State, aligned, detached, ratio, same_shape
from engine.tape import Array, Tensor


def of_samples(values: Array, weights: Array | None, reduce: np.ufunc | Any) -> tuple[Array, Array | None]:
    """Return one value and one weight a sample.

    Entries that share a weight are reduced first, so a sample counts once, however many entries it has.

    Args:
        values: (batch, ...).
        weights: of samples or of their entries, or None.
        reduce: ``np.mean`` or ``np.sum``.
    """
    if weights is not None:
        values, weights = aligned(values, weights)
        if values.ndim > weights.ndim:
            values = reduce(values, axis=tuple(range(weights.ndim, values.ndim)))
        given = weights.ndim
        check_weights(weights, values.shape)
        weights = np.broadcast_to(weights, values.shape)
        values = values * weights
        if given > 1:
            weights = reduce(weights, axis=tuple(range(1, weights.ndim)))
    if values.ndim > 1:
        values = reduce(values, axis=tuple(range(1, values.ndim)))
    return values, weights


@dataclass(frozen=True, kw_only=True)
class Averaged(Metric):
    """Base: a mean over all samples seen. Source: ``keras.metrics.MeanMetricWrapper``."""

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """Return one value per sample, or per entry of a sample."""
        raise AssertionError(f"{self.class_name} does not define its values")

    def measured(self, y_pred: Tensor) -> Tensor:
        """Return predictions as the function sees them: in Keras 2 cast to the metric's dtype."""
        return y_pred if self.conventions.keras3 else ops.cast(y_pred, as_dtype(self.kind.name))

    @property
    def sees_masks(self) -> bool:
        """It does."""
        return True

    def shapes(self, output: Shape) -> dict[str, tuple[int, ...]]:
        """The sum of the values and how many there were."""
        return {"total": (), "count": ()}

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """The weighted sum of the values and the sum of the weights."""
        values = np.asarray(self.values(y_true, y_pred), self.kind)
        weights = None if sample_weight is None else np.asarray(sample_weight, self.kind)
        values, weights = of_samples(values, weights, np.mean)
        count = values.size if weights is None else weights.sum(dtype=self.kind)
        return {"total": values.sum(dtype=self.kind), "count": self.kind.type(count)}

    def result(self, state: State) -> Array:
        """The mean so far; 0 before anything was seen."""
        return ratio(state["total"], state["count"])


@dataclass(frozen=True, kw_only=True)
class OfValues(Metric):
    """Base: of plain values, which are given as predictions. In Keras 3 their mask counts only beside weights."""

    takes_labels: ClassVar[bool] = False

    @property
    def sees_masks(self) -> bool:
        """It does."""
        return True

    def updated(
        self, state: State, y_true: Array, y_pred: Tensor, sample_weight: Array | None = None
    ) -> dict[str, Array]:
        """Return the state after one more batch; see :meth:`Metric.updated`."""
        unmasked = self.conventions.keras3 and sample_weight is None
        return super().updated(state, y_true, detached(y_pred) if unmasked else y_pred, sample_weight)


@dataclass(frozen=True)
class Mean(OfValues, Averaged):
    """Mean of plain values."""

    name: str | None = setting(optional(text), "mean")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """The values as they are."""
        return y_pred.data


@dataclass(frozen=True)
class Sum(OfValues):
    """Sum of plain values."""

    name: str | None = setting(optional(text), "sum")

    def shapes(self, output: Shape) -> dict[str, tuple[int, ...]]:
        """The sum."""
        return {"total": ()}

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """The weighted sum of the values."""
        weights = None if sample_weight is None else np.asarray(sample_weight, self.kind)
        values, _ = of_samples(y_pred.data.astype(self.kind), weights, np.sum)
        return {"total": values.sum(dtype=self.kind)}

    def result(self, state: State) -> Array:
        """The sum so far."""
        return state["total"]


@dataclass(frozen=True, kw_only=True)
class OfLoss(Averaged):
    """Base: the mean of a loss, in y_pred's dtype (Keras 3: float16 squares overflow) or the metric's (Keras 2)."""

    of: ClassVar[type[Loss]]
    shared: ClassVar[tuple[str, ...]] = ()
    """Settings that the loss takes from the metric."""

    @cached_property
    def loss(self) -> Loss:
        """The loss to average."""
        return self.of(conventions=self.conventions, **{key: getattr(self, key) for key in self.shared})

    @property
    def labels_are_classes(self) -> bool:
        """As the loss has it."""
        return self.of.labels_are_classes

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """The losses, not reduced."""
        return self.loss.losses(y_true, self.measured(y_pred)).data


@dataclass(frozen=True)
class MeanSquaredError(OfLoss):
    """Mean of ``(y_pred - y_true) ** 2``."""

    of: ClassVar[type[Loss]] = losses.MeanSquaredError
    name: str | None = setting(optional(text), "mean_squared_error")


@dataclass(frozen=True)
class MeanAbsoluteError(OfLoss):
    """Mean of ``|y_pred - y_true|``."""

    of: ClassVar[type[Loss]] = losses.MeanAbsoluteError
    name: str | None = setting(optional(text), "mean_absolute_error")


@dataclass(frozen=True)
class MeanAbsolutePercentageError(OfLoss):
    """Mean of ``100 * |(y_true - y_pred) / y_true|``."""

    of: ClassVar[type[Loss]] = losses.MeanAbsolutePercentageError
    name: str | None = setting(optional(text), "mean_absolute_percentage_error")


@dataclass(frozen=True)
class MeanSquaredLogarithmicError(OfLoss):
    """Mean of ``(log(1 + y_pred) - log(1 + y_true)) ** 2``."""

    of: ClassVar[type[Loss]] = losses.MeanSquaredLogarithmicError
    name: str | None = setting(optional(text), "mean_squared_logarithmic_error")


@dataclass(frozen=True)
class LogCoshError(OfLoss):
    """Mean of ``log(cosh(y_pred - y_true))``."""

    of: ClassVar[type[Loss]] = losses.LogCosh
    name: str | None = setting(optional(text), "logcosh")


@dataclass(frozen=True)
class Hinge(OfLoss):
    """Mean of ``max(1 - y_true * y_pred, 0)``."""

    of: ClassVar[type[Loss]] = losses.Hinge
    name: str | None = setting(optional(text), "hinge")


@dataclass(frozen=True)
class SquaredHinge(OfLoss):
    """Mean of ``max(1 - y_true * y_pred, 0) ** 2``."""

    of: ClassVar[type[Loss]] = losses.SquaredHinge
    name: str | None = setting(optional(text), "squared_hinge")


@dataclass(frozen=True)
class CategoricalHinge(OfLoss):
    """Mean of ``max(largest wrong prediction - right prediction + 1, 0)``."""

    of: ClassVar[type[Loss]] = losses.CategoricalHinge
    name: str | None = setting(optional(text), "categorical_hinge")


@dataclass(frozen=True)
class KLDivergence(OfLoss):
    """Mean of ``sum(y_true * log(y_true / y_pred))``."""

    of: ClassVar[type[Loss]] = losses.KLDivergence
    name: str | None = setting(optional(text), "kl_divergence")


@dataclass(frozen=True)
class Poisson(OfLoss):
    """Mean of ``y_pred - y_true * log(y_pred)``."""

    of: ClassVar[type[Loss]] = losses.Poisson
    name: str | None = setting(optional(text), "poisson")


@dataclass(frozen=True)
class BinaryCrossentropy(OfLoss):
    """Mean crossentropy of independent yes-no labels."""

    of: ClassVar[type[Loss]] = losses.BinaryCrossentropy
    shared: ClassVar[tuple[str, ...]] = ("from_logits", "label_smoothing")
    name: str | None = setting(optional(text), "binary_crossentropy")
    from_logits: bool = setting(boolean, False)
    label_smoothing: float = setting(fraction, 0.0)


@dataclass(frozen=True)
class CategoricalCrossentropy(OfLoss):
    """Mean crossentropy of one-hot labels."""

    of: ClassVar[type[Loss]] = losses.CategoricalCrossentropy
    shared: ClassVar[tuple[str, ...]] = ("from_logits", "label_smoothing", "axis")
    name: str | None = setting(optional(text), "categorical_crossentropy")
    from_logits: bool = setting(boolean, False)
    label_smoothing: float = setting(fraction, 0.0)
    axis: int = setting(any_integer, -1, only="newer")


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(OfLoss):
    """Mean crossentropy of labels that are class numbers; rows of a class to ignore count as 0."""

    of: ClassVar[type[Loss]] = losses.SparseCategoricalCrossentropy
    shared: ClassVar[tuple[str, ...]] = ("from_logits", "ignore_class", "axis")
    name: str | None = setting(optional(text), "sparse_categorical_crossentropy")
    from_logits: bool = setting(boolean, False)
    ignore_class: int | None = setting(optional(any_integer), None, only="newer")
    axis: int = setting(any_integer, -1)

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """As other means; rows to ignore weigh 0, but as much as any other in Keras 3 if there are no weights."""
        kept = self.loss.valid(row_labels(y_true, y_pred))
        if kept is not None and sample_weight is not None:
            sample_weight = fitted(np.asarray(sample_weight, self.kind), kept.ndim) * kept
        elif kept is not None and not self.conventions.keras3:
            sample_weight = kept
        return super().counted(y_true, y_pred, sample_weight)


@dataclass(frozen=True)
class CosineSimilarity(Averaged):
    """Mean cosine of the angle between labels and predictions: 1 for the same direction."""

    name: str | None = setting(optional(text), "cosine_similarity")
    axis: int = setting(any_integer, -1, only="keras2")  # Keras 3 forgets to write it

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """What the loss negates."""
        return -self._loss.losses(y_true, self.measured(y_pred)).data

    @cached_property
    def _loss(self) -> Loss:
        return losses.CosineSimilarity(axis=self.axis, conventions=self.conventions)


@dataclass(frozen=True)
class RootMeanSquaredError(Averaged):
    """Root of the mean of ``(y_pred - y_true) ** 2``, computed in the metric's dtype."""

    name: str | None = setting(optional(text), "root_mean_squared_error")

    @property
    def sees_masks(self) -> bool:
        """Not in Keras 3: it wraps no function."""
        return not self.conventions.keras3

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """The squares, one an entry."""
        labels, predictions = same_shape(y_true, y_pred, self.kind)
        return np.asarray(np.square(predictions - labels))

    def result(self, state: State) -> Array:
        """The root of the mean so far."""
        return np.asarray(np.sqrt(super().result(state)))
