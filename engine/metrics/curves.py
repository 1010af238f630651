"""Metrics over a whole curve of thresholds: the area under it, or its best point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from engine import ops
from engine.configured import (
    any_integer,
    boolean,
    fraction,
    integer,
    numbers,
    optional,
    positive_integer,
    refuse,
    setting,
    text,
)
from engine.errors import InvalidValue, ShapeMismatch
from engine.losses import EPSILON
from engine.metrics.base import Shape, State, columns_of, ratio
from engine.metrics.confusion import Confusion, Thresholds, are_even, confusion, evenly
from engine.tape import Array, Tensor

FOUR = ("true_positives", "false_positives", "true_negatives", "false_negatives")


def recalls(state: State) -> Array:
    """Return the share of true labels found, at each threshold (sensitivity)."""
    return ratio(state["true_positives"], state["true_positives"] + state["false_negatives"])


def precisions(state: State) -> Array:
    """Return the share of what was found that is true, at each threshold."""
    return ratio(state["true_positives"], state["true_positives"] + state["false_positives"])


def specificities(state: State) -> Array:
    """Return the share of false labels left out, at each threshold."""
    return ratio(state["true_negatives"], state["true_negatives"] + state["false_positives"])


def best_where(wanted: Array, least: float, values: Array) -> Array:
    """Return the largest of the values (at least 0) where another is not below a number."""
    feasible = np.where(wanted >= wanted.dtype.type(least), values, 0)
    return np.asarray(np.maximum(feasible.max(), 0), values.dtype)


@dataclass(frozen=True, kw_only=True)
class AtPoint(Confusion):
    """Base: the best of one share where another is not below a number. Source: ``SensitivitySpecificityBase``."""

    counts: ClassVar[tuple[str, ...]] = FOUR
    class_id: int | None = setting(optional(any_integer), None, only="newer")
    num_thresholds: int = setting(positive_integer, 200)

    @property
    def width(self) -> int:
        """As many as asked for."""
        return self.num_thresholds

    @cached_property
    def limits(self) -> Thresholds:
        """Evenly from 0 to 1."""
        return evenly(self.num_thresholds)


@dataclass(frozen=True, kw_only=True)
class SensitivityAtSpecificity(AtPoint):
    """The best sensitivity where the specificity is not below a number."""

    name: str | None = setting(optional(text), "sensitivity_at_specificity")
    specificity: float = setting(fraction)

    def result(self, state: State) -> Array:
        """0 where no threshold reaches it."""
        return best_where(specificities(state), self.specificity, recalls(state))


@dataclass(frozen=True, kw_only=True)
class SpecificityAtSensitivity(AtPoint):
    """The best specificity where the sensitivity is not below a number."""

    name: str | None = setting(optional(text), "specificity_at_sensitivity")
    sensitivity: float = setting(fraction)

    def result(self, state: State) -> Array:
        """0 where no threshold reaches it."""
        return best_where(recalls(state), self.sensitivity, specificities(state))


@dataclass(frozen=True, kw_only=True)
class PrecisionAtRecall(AtPoint):
    """The best precision where the recall is not below a number."""

    name: str | None = setting(optional(text), "precision_at_recall")
    recall: float = setting(fraction)

    def result(self, state: State) -> Array:
        """0 where no threshold reaches it."""
        return best_where(recalls(state), self.recall, precisions(state))


@dataclass(frozen=True, kw_only=True)
class RecallAtPrecision(AtPoint):
    """The best recall where the precision is not below a number."""

    name: str | None = setting(optional(text), "recall_at_precision")
    precision: float = setting(fraction)

    def result(self, state: State) -> Array:
        """0 where no threshold reaches it."""
        return best_where(precisions(state), self.precision, recalls(state))


def _roc(state: State) -> tuple[Array, Array]:
    negatives = state["false_positives"] + state["true_negatives"]
    return ratio(state["false_positives"], negatives), recalls(state)


def _pr(state: State) -> tuple[Array, Array]:
    return recalls(state), precisions(state)


def _pr_gain(state: State) -> tuple[Array, Array]:
    found = state["true_positives"]
    one = found.dtype.type(1)
    odds = ratio(found + state["false_negatives"], state["true_negatives"] + state["false_positives"])
    recall_gain = np.where(found == 0, 0, one - odds * ratio(state["false_negatives"], found))
    precision_gain = np.where(found == 0, 1, one - odds * ratio(state["false_positives"], found))
    return np.maximum(recall_gain, 0), precision_gain


_CURVES = {"ROC": _roc, "PR": _pr, "PRGAIN": _pr_gain}
_HEIGHTS: Mapping[str, Callable[[Array, Array], Array]] = {
    "interpolation": lambda left, right: (left + right) / 2,
    "minoring": np.minimum,
    "majoring": np.maximum,
}


def _curve(key: str, value: Any) -> str:
    if value not in {*_CURVES, *map(str.lower, _CURVES)}:
        raise refuse(key, "one of 'ROC', 'PR', 'PRGAIN'", value)
    return str(value).upper()


def _summation(key: str, value: Any) -> str:
    if value not in {*_HEIGHTS, *map(str.capitalize, _HEIGHTS)}:
        raise refuse(key, f"one of {', '.join(map(repr, _HEIGHTS))}", value)
    return str(value).lower()


@dataclass(frozen=True)
class AUC(Confusion):
    """The area under the curve of true against false positives (ROC), or of precision against recall (PR).

    Attributes:
        num_thresholds: points of the curve, the open ends included.
        thresholds: the inner points themselves, instead.
        multi_label: columns are labels of their own, and their areas are averaged.
        label_weights: what each label counts.
        from_logits: predictions are logits, and go through a sigmoid first.
    """

    counts: ClassVar[tuple[str, ...]] = FOUR
    name: str | None = setting(optional(text), "auc")
    num_thresholds: int = setting(integer(2, "an integer above 1"), 200)
    curve: str = setting(_curve, "ROC")
    summation_method: str = setting(_summation, "interpolation")
    multi_label: bool = setting(boolean, False)
    num_labels: int | None = setting(optional(positive_integer), None, only="newer")
    label_weights: tuple[float, ...] | None = setting(optional(numbers), None)
    from_logits: bool = setting(boolean, False, only="newer")
    thresholds: tuple[float, ...] | None = setting(optional(numbers), None, only="set")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_labels is not None and not self.multi_label:
            raise InvalidValue("`num_labels` is needed only when `multi_label` is true.", path=("num_labels",))
        if self.thresholds is not None:
            object.__setattr__(self, "thresholds", tuple(sorted(self.thresholds)))
            object.__setattr__(self, "num_thresholds", len(self.thresholds) + 2)

    @property
    def width(self) -> int:
        """As many as asked for."""
        return self.num_thresholds

    @cached_property
    def limits(self) -> Thresholds:
        """The points, the first a little below 0, the last a little above 1."""
        count = self.num_thresholds
        inner = np.arange(1, count - 1) / (count - 1) if self.thresholds is None else np.array(self.thresholds)
        even = self.thresholds is None or are_even(np.array([0.0, *inner, 1.0]))
        return Thresholds(np.array([-EPSILON, *inner, 1 + EPSILON]), even=even, open_ends=True)

    def shapes(self, output: Shape) -> dict[str, tuple[int, ...]]:
        """One number a threshold, and a label."""
        if not self.multi_label:
            return super().shapes(output)
        labels = columns_of(output, self)
        if self.num_labels not in {None, labels}:
            raise ShapeMismatch(f"`num_labels` is {self.num_labels}, but the predictions have {labels} columns.")
        return dict.fromkeys(FOUR, (self.num_thresholds, labels))

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """The batch's positives and negatives."""
        if self.from_logits:
            y_pred = ops.sigmoid(y_pred)
        labels, predictions, weights = self.entries(y_true, y_pred, sample_weight)
        if self.label_weights is not None and not self.multi_label:
            each = np.broadcast_to(np.asarray(self.label_weights, self.kind), labels.shape)
            weights = each if weights is None else weights * each
        return confusion(labels, predictions, self.limits, weights, by_column=self.multi_label)

    def result(self, state: State) -> Array:
        """The area; with several labels their mean, weighted by the label weights."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = _interpolated_pr(state)
        else:
            x, y = _CURVES[self.curve](state)
            areas = ((x[:-1] - x[1:]) * _HEIGHTS[self.summation_method](y[:-1], y[1:])).sum(axis=0)
        if not self.multi_label:
            return np.asarray(areas)
        if self.label_weights is None:
            return np.asarray(areas.mean())
        weights = np.asarray(self.label_weights, areas.dtype)
        return ratio((areas * weights).sum(), weights.sum())


def _interpolated_pr(state: State) -> Array:
    """Return the area with true positives interpolated, not precision (Davis and Goadrich, 2006)."""
    found, positives = state["true_positives"], state["true_positives"] + state["false_positives"]
    gained, wider = found[:-1] - found[1:], positives[:-1] - positives[1:]
    slope = ratio(gained, np.maximum(wider, 0))
    intercept = found[1:] - slope * positives[1:]
    both = (positives[:-1] > 0) & (positives[1:] > 0)
    growth = np.where(both, ratio(positives[:-1], np.maximum(positives[1:], 0)), found.dtype.type(1))
    true = np.maximum(found[1:] + state["false_negatives"][1:], 0)
    return np.asarray(ratio(slope * (gained + intercept * np.log(growth)), true).sum(axis=0))
