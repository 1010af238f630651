"""How far predictions follow the labels: correlations and the coefficient of determination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.configured import any_integer, integer, one_of, optional, setting, text
from engine.losses import EPSILON
from engine.metrics.averaging import Averaged
from engine.metrics.base import Metric, Shape, State, columns_of, same_shape
from engine.tape import Array, Tensor


@dataclass(frozen=True)
class PearsonCorrelation(Averaged):
    """Mean correlation of labels and predictions along an axis."""

    name: str | None = setting(optional(text), "pearson_correlation")
    axis: int = setting(any_integer, -1)

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """One correlation a row."""
        labels, predictions = same_shape(y_true, y_pred, y_pred.data.dtype)
        return np.asarray((self._standardized(labels) * self._standardized(predictions)).mean(axis=self.axis))

    def _standardized(self, x: Array) -> Array:
        centred = x - x.mean(axis=self.axis, keepdims=True)
        return np.asarray(centred / centred.std(axis=self.axis, keepdims=True))


@dataclass(frozen=True)
class ConcordanceCorrelation(Averaged):
    """Mean concordance of labels and predictions along an axis (Lin, 1989), as Keras computes it."""

    name: str | None = setting(optional(text), "concordance_correlation")
    axis: int = setting(any_integer, -1)

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """One concordance a row."""
        labels, predictions = same_shape(y_true, y_pred, y_pred.data.dtype)
        centre_true = labels.mean(axis=self.axis, keepdims=True)
        centre = predictions.mean(axis=self.axis, keepdims=True)
        # Keras centres the labels, too, by the mean of the predictions; the mean of the product is the same.
        product = (labels - centre) * (predictions - centre)
        spread = labels.var(axis=self.axis, keepdims=True) + predictions.var(axis=self.axis, keepdims=True)
        norm = spread + np.square(centre_true - centre) + labels.dtype.type(EPSILON)
        return np.asarray((2 * product / norm).mean(axis=self.axis))


@dataclass(frozen=True)
class R2Score(Metric):
    """The coefficient of determination: 1 for perfect predictions, 0 for those of a constant.

    Attributes:
        class_aggregation: None for one result a column, else how the columns' results are averaged.
        num_regressors: independent variables, for the adjusted score; 0 for the plain one.
    """

    name: str | None = setting(optional(text), "r2_score")
    class_aggregation: str | None = setting(
        one_of(None, "uniform_average", "variance_weighted_average"), "uniform_average"
    )
    num_regressors: int = setting(integer(0, "an integer not below 0"), 0)

    def shapes(self, output: Shape) -> dict[str, tuple[int, ...]]:
        """How many entries there were, and four sums a column."""
        columns = (columns_of(output, self),)
        return {"num_samples": (), "squared_sum": columns, "sum": columns, "residual": columns, "count": columns}

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """Sums over the batch."""
        labels, predictions = same_shape(y_true, y_pred, self.kind)
        weights = np.asarray(1 if sample_weight is None else sample_weight, self.kind)
        weights = np.broadcast_to(weights[:, np.newaxis] if weights.ndim == 1 else weights, labels.shape)
        weighted = labels * weights
        return {
            "num_samples": self.kind.type(labels.size),
            "squared_sum": (labels * weighted).sum(axis=0),
            "sum": weighted.sum(axis=0),
            "residual": (np.square(labels - predictions) * weights).sum(axis=0),
            "count": weights.sum(axis=0),
        }

    def result(self, state: State) -> Array:
        """One number, or one a column; infinite scores (of constant labels) count as 0."""
        total = state["squared_sum"] - state["sum"] * (state["sum"] / state["count"])
        scores = 1 - state["residual"] / total
        scores = np.where(np.isinf(scores), 0, scores)
        if self.class_aggregation == "uniform_average":
            scores = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            scores = (total * scores).sum() / total.sum()
        free = state["num_samples"] - self.num_regressors - 1
        if self.num_regressors and free > 0:
            scores = 1 - (1 - scores) * (state["num_samples"] - 1) / free
        return np.asarray(scores, self.kind)
