"""How far predictions follow the labels: correlations and the coefficient of determination."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import ops
from engine.configured import any_integer, integer, one_of, optional, setting, text
from engine.conventions import KERAS3
from engine.dtypes import FLOAT16, DType
from engine.losses import EPSILON
from engine.losses.base import on_grid
from engine.losses.sums import summed
from engine.metrics.averaging import Averaged
from engine.metrics.base import Metric, Shape, State, columns_of, same_shape
from engine.optimizers.arithmetic import Grid, grid
from engine.tape import Array, Tensor, constant


@dataclass(frozen=True, kw_only=True)
class _Correlation(Averaged):
    """Base: computed in the dtype of the predictions, every step rounded, as Keras 3 computes it on TensorFlow."""

    axis: int = setting(any_integer, -1)

    def _rows(self, y_true: Array, y_pred: Tensor) -> tuple[Array, Array, Grid]:
        labels, predictions = same_shape(on_grid(y_true, y_pred.dtype), y_pred, y_pred.data.dtype)
        return labels, predictions, grid(y_pred.dtype)

    def _mean(self, x: Array, on: Grid) -> Array:
        return np.asarray(on(x.mean(axis=self.axis, keepdims=True)))  # added in float32, as keras.ops.mean does


@dataclass(frozen=True)
class PearsonCorrelation(_Correlation):
    """Mean correlation of labels and predictions along an axis."""

    name: str | None = setting(optional(text), "pearson_correlation")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """One correlation a row."""
        labels, predictions, on = self._rows(y_true, y_pred)
        product = on(self._standardized(labels, y_pred.dtype) * self._standardized(predictions, y_pred.dtype))
        return np.asarray(on(product.mean(axis=self.axis)))

    def _standardized(self, x: Array, dtype: DType) -> Array:
        on = grid(dtype)
        centred = on(x - self._mean(x, on))
        rest = on(centred - self._kernel_mean(centred, dtype))
        spread = on(np.sqrt(self._kernel_mean(on(rest * rest), dtype)))
        return np.asarray(on(centred / spread))

    def _kernel_mean(self, x: Array, dtype: DType) -> Array:
        """Return the mean as ``tf.math.reduce_std`` takes it: a float16 sum, divided."""
        if dtype is not FLOAT16:
            return self._mean(x, grid(dtype))
        total = summed(Tensor(x, dtype), KERAS3, self.axis, keepdims=True)
        return ops.divide(total, constant(x.shape[self.axis], dtype)).data


@dataclass(frozen=True)
class ConcordanceCorrelation(_Correlation):
    """Mean concordance of labels and predictions along an axis (Lin, 1989), as Keras computes it."""

    name: str | None = setting(optional(text), "concordance_correlation")

    def values(self, y_true: Array, y_pred: Tensor) -> Array:
        """One concordance a row."""
        labels, predictions, on = self._rows(y_true, y_pred)
        centre_true, centre = self._mean(labels, on), self._mean(predictions, on)
        # Keras centres the labels, too, by the mean of the predictions; the mean of the product is the same.
        product = on(on(labels - centre) * on(predictions - centre))
        spread = on(self._variance(on(labels - centre_true), on) + self._variance(on(predictions - centre), on))
        norm = on(spread + on(np.square(on(centre_true - centre))))
        fuzzy = on(norm + constant(EPSILON, y_pred.dtype).data)
        return np.asarray(on(on(on(2 * product) / fuzzy).mean(axis=self.axis)))

    def _variance(self, x: Array, on: Grid) -> Array:
        return np.asarray(on(x.var(axis=self.axis, keepdims=True)))  # in float32


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
