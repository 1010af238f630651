"""True and false positives and negatives at thresholds, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from engine.configured import any_integer, number, optional, positive_integer, setting, text
from engine.errors import ShapeMismatch
from engine.losses import EPSILON
from engine.metrics.base import Metric, Shape, State, aligned, ratio
from engine.tape import Array, Tensor

NEVER_CHOSEN = -1e10
"""Keras's prediction for what is not among the top k."""

Limits = float | tuple[float, ...]
_probability = number(0.0, 1.0, "a number in [0, 1]")


def _limits(key: str, value: Any) -> Limits:
    """Read one threshold in [0, 1] or a list of them."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_probability(key, item) for item in value)
    one: float = _probability(key, value)
    return one


@dataclass(frozen=True, eq=False)
class Thresholds:
    """What predictions are compared with.

    Attributes:
        values: in any order, (thresholds,).
        even: they divide [0, 1] evenly, so that a prediction's place among them is computed, not searched. As in
            Keras 3, where it decides how a prediction beside a threshold is rounded.
        open_ends: the first is below 0 and the last above 1: a prediction of 0 is above the first.
    """

    values: Array
    even: bool = False
    open_ends: bool = False

    def passed(self, predictions: Array) -> Array:
        """Return how many of the sorted thresholds each prediction is above."""
        if not self.even:
            limits = np.sort(self.values.astype(predictions.dtype))
            return np.where(np.isnan(predictions), 0, np.searchsorted(limits, predictions, side="left"))
        steps = predictions.dtype.type(len(self.values) - 1)
        places = np.ceil(np.clip(np.nan_to_num(predictions), 0, 1) * steps).astype(np.int64)
        return np.maximum(places, 1) if self.open_ends else places

    @cached_property
    def order(self) -> Array:
        """Place of each threshold among the sorted ones."""
        return np.argsort(np.argsort(self.values, kind="stable"), kind="stable")


def evenly(count: int) -> Thresholds:
    """Return so many thresholds from 0 to 1; 0.5 for one alone."""
    if count == 1:
        return Thresholds(np.array([0.5]))
    return Thresholds(np.arange(count) / (count - 1), even=True)


def are_even(values: Array) -> bool:
    """Return whether three or more thresholds divide [0, 1] evenly."""
    return len(values) > 2 and np.allclose(values, np.arange(len(values)) / (len(values) - 1), atol=EPSILON)


def confusion(
    labels: Array, predictions: Array, limits: Thresholds, weights: Array | None, *, by_column: bool = False
) -> dict[str, Array]:
    """Return the weighted true and false positives and negatives at each threshold.

    Args:
        labels: not 0 where true, shape (batch, ...).
        predictions: of the same shape.
        limits: the thresholds.
        weights: of the same shape, or None.
        by_column: whether columns are counted apart.

    Returns:
        float64 arrays of shape (thresholds,), or (thresholds, columns).
    """
    width = labels.shape[1] if by_column else 1
    passed = limits.passed(predictions).reshape(-1, width)
    true = (labels != 0).reshape(-1, width)
    counts = np.ones(true.shape) if weights is None else weights.astype(np.float64).reshape(-1, width)
    count = len(limits.values)
    above_true, all_true = _above(passed, counts * true, count)
    above_false, all_false = _above(passed, counts * ~true, count)
    found = {
        "true_positives": above_true[limits.order],
        "false_positives": above_false[limits.order],
        "true_negatives": (all_false - above_false)[limits.order],
        "false_negatives": (all_true - above_true)[limits.order],
    }
    return found if by_column else {name: array[:, 0] for name, array in found.items()}


def _above(passed: Array, weights: Array, count: int) -> tuple[Array, Array]:
    """Return the weight above each of the sorted thresholds, (thresholds, columns), and in all, (columns,)."""
    width = passed.shape[1]
    places = passed + np.arange(width) * (count + 1)
    sums = np.bincount(places.ravel(), weights.ravel(), minlength=width * (count + 1)).reshape(width, count + 1)
    return sums[:, ::-1].cumsum(axis=1)[:, ::-1].T[1:], sums.sum(axis=1)


@dataclass(frozen=True, kw_only=True)
class Confusion(Metric):
    """Base: what metrics at thresholds count."""

    counts: ClassVar[tuple[str, ...]]
    """Which of the four it keeps."""

    @property
    def limits(self) -> Thresholds:
        """What predictions are compared with."""
        raise AssertionError(f"{self.class_name} does not define its thresholds")

    @property
    def width(self) -> int:
        """How many thresholds there are, known without making them."""
        return len(self.limits.values)

    def shapes(self, output: Shape) -> dict[str, tuple[int, ...]]:
        """One number a threshold."""
        return dict.fromkeys(self.counts, (self.width,))

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """The batch's positives and negatives."""
        labels, predictions, weights = self.entries(y_true, y_pred, sample_weight)
        return confusion(labels, predictions, self.limits, weights)

    def entries(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> tuple[Array, Array, Array | None]:
        """Return labels, predictions and weights, all of one shape."""
        predictions, labels = aligned(y_pred.data.astype(self.kind, copy=False), np.asarray(y_true))
        if labels.shape != predictions.shape:
            raise ShapeMismatch(
                f"{self.class_name} takes labels of the predictions' shape {list(predictions.shape)}, got "
                f"{list(labels.shape)}."
            )
        weights = None if sample_weight is None else _of_entries(sample_weight, labels.shape)
        top_k, class_id = getattr(self, "top_k", None), getattr(self, "class_id", None)
        if top_k is not None:
            predictions = _top(predictions, top_k)
        if class_id is None:
            return labels, predictions, weights
        if labels.ndim < 2 or not -labels.shape[-1] <= class_id < labels.shape[-1]:
            raise ShapeMismatch(f"There is no class {class_id} in predictions of shape {list(predictions.shape)}.")
        one = (..., [class_id])
        return labels[one], predictions[one], None if weights is None else weights[one]


def _of_entries(sample_weight: Array, shape: tuple[int, ...]) -> Array:
    weights = np.asarray(sample_weight)
    if weights.ndim < len(shape):
        weights = weights[(..., *[np.newaxis] * (len(shape) - weights.ndim))]
    elif weights.ndim == len(shape) + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    return np.broadcast_to(weights, shape)


def _top(predictions: Array, k: int) -> Array:
    chosen = np.argsort(-predictions, axis=-1, kind="stable")[..., :k]
    kept = np.full(predictions.shape, NEVER_CHOSEN, predictions.dtype)
    np.put_along_axis(kept, chosen, np.take_along_axis(predictions, chosen, axis=-1), axis=-1)
    return kept


@dataclass(frozen=True, kw_only=True)
class AtThresholds(Confusion):
    """Base: the caller names the thresholds; one result for each."""

    thresholds: Limits | None = setting(optional(_limits), None)

    @cached_property
    def limits(self) -> Thresholds:
        """The thresholds given, else one of 0.5; with `top_k` every one of those counts."""
        chosen = 0.5 if getattr(self, "top_k", None) is None else NEVER_CHOSEN
        given = chosen if self.thresholds is None else self.thresholds
        values = np.atleast_1d(np.asarray(given, np.float64))
        return Thresholds(values, even=are_even(values))

    def result(self, state: State) -> Array:
        """One number, or one a threshold."""
        found = self.of_counts(state)
        return np.asarray(found[0]) if len(found) == 1 else found

    def of_counts(self, state: State) -> Array:
        """Return the result at each threshold."""
        raise AssertionError(f"{self.class_name} does not define its result")


@dataclass(frozen=True, kw_only=True)
class Counter(AtThresholds):
    """Base: one of the four, kept under Keras's name for it."""

    def shapes(self, output: Shape) -> dict[str, tuple[int, ...]]:
        """One number a threshold."""
        return {"accumulator": (self.width,)}

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """The batch's count."""
        return {"accumulator": super().counted(y_true, y_pred, sample_weight)[self.counts[0]]}

    def of_counts(self, state: State) -> Array:
        """The count itself."""
        return state["accumulator"]


@dataclass(frozen=True)
class TruePositives(Counter):
    """How many true labels were predicted to be true."""

    counts: ClassVar[tuple[str, ...]] = ("true_positives",)
    name: str | None = setting(optional(text), "true_positives")


@dataclass(frozen=True)
class TrueNegatives(Counter):
    """How many false labels were predicted to be false."""

    counts: ClassVar[tuple[str, ...]] = ("true_negatives",)
    name: str | None = setting(optional(text), "true_negatives")


@dataclass(frozen=True)
class FalsePositives(Counter):
    """How many false labels were predicted to be true."""

    counts: ClassVar[tuple[str, ...]] = ("false_positives",)
    name: str | None = setting(optional(text), "false_positives")


@dataclass(frozen=True)
class FalseNegatives(Counter):
    """How many true labels were predicted to be false."""

    counts: ClassVar[tuple[str, ...]] = ("false_negatives",)
    name: str | None = setting(optional(text), "false_negatives")


@dataclass(frozen=True)
class Precision(AtThresholds):
    """Share of what was predicted to be true that is."""

    counts: ClassVar[tuple[str, ...]] = ("true_positives", "false_positives")
    name: str | None = setting(optional(text), "precision")
    top_k: int | None = setting(optional(positive_integer), None)
    class_id: int | None = setting(optional(any_integer), None)

    def of_counts(self, state: State) -> Array:
        """True positives over all positives; 0 without any."""
        return ratio(state["true_positives"], state["true_positives"] + state["false_positives"])


@dataclass(frozen=True)
class Recall(AtThresholds):
    """Share of what is true that was predicted to be."""

    counts: ClassVar[tuple[str, ...]] = ("true_positives", "false_negatives")
    name: str | None = setting(optional(text), "recall")
    top_k: int | None = setting(optional(positive_integer), None)
    class_id: int | None = setting(optional(any_integer), None)

    def of_counts(self, state: State) -> Array:
        """True positives over all true labels; 0 without any."""
        return ratio(state["true_positives"], state["true_positives"] + state["false_negatives"])
