"""The harmonic mean of precision and recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.configured import number, one_of, optional, setting, text
from engine.losses import EPSILON
from engine.metrics.base import Metric, Shape, State, columns_of, ratio, same_shape
from engine.tape import Array, Tensor

_COUNTS = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")
_SMALLEST = 1e-9
"""A largest prediction not above it chooses no class."""
_above_zero = number(float(np.nextafter(0, 1)), None, "a number above 0")
_up_to_one = number(float(np.nextafter(0, 1)), 1.0, "a number above 0, not above 1")


@dataclass(frozen=True, kw_only=True)
class FScore(Metric):
    """Base of FBetaScore and F1Score.

    Attributes:
        average: None for one result a class, "micro" over all entries, "macro" mean of the classes, "weighted" by how
            often they occur.
        threshold: above it a prediction counts as true; None: the largest of each row does.
    """

    average: str | None = setting(one_of(None, "micro", "macro", "weighted"), None)
    threshold: float | None = setting(optional(_up_to_one), None)

    @property
    def weight_of_recall(self) -> float:
        """Beta."""
        return 1.0

    def shapes(self, output: Shape) -> dict[str, tuple[int, ...]]:
        """One number a class, or one for all of them."""
        classes = columns_of(output, self)
        return dict.fromkeys(_COUNTS, () if self.average == "micro" else (classes,))

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """The batch's positives and negatives, and how often each class occurs."""
        labels, predictions = same_shape(y_true, y_pred, self.kind)
        if self.threshold is None:
            largest = predictions.max(axis=-1, keepdims=True)
            chosen = ((predictions >= largest) & (np.abs(predictions) > _SMALLEST)).astype(self.kind)
        else:
            chosen = (predictions > self.kind.type(self.threshold)).astype(self.kind)
        weights = self.kind.type(1)
        if sample_weight is not None:
            weights = np.asarray(sample_weight, self.kind).reshape(-1, 1)
        axis = None if self.average == "micro" else 0
        parts = (chosen * labels, chosen * (1 - labels), (1 - chosen) * labels, labels)
        return {name: (part * weights).sum(axis=axis) for name, part in zip(_COUNTS, parts, strict=True)}

    def result(self, state: State) -> Array:
        """One number, or one a class without averaging."""
        # Keras 3 keeps away from 0 by adding epsilon, tf_keras by dividing nothing by 0.
        fuzz = self.kind.type(EPSILON if self.conventions.keras3 else 0)
        found, squared = state["true_positives"], self.kind.type(self.weight_of_recall**2)
        precision = ratio(found, found + state["false_positives"] + fuzz)
        recall = ratio(found, found + state["false_negatives"] + fuzz)
        score = ratio(precision * recall, squared * precision + recall + fuzz) * (1 + squared)
        if self.average == "weighted":
            occurring = state["intermediate_weights"]
            return np.asarray((score * ratio(occurring, occurring.sum() + fuzz)).sum())
        return np.asarray(score if self.average is None else score.mean())


@dataclass(frozen=True)
class FBetaScore(FScore):
    """``(1 + beta ** 2) * precision * recall / (beta ** 2 * precision + recall)``."""

    name: str | None = setting(optional(text), "fbeta_score")
    beta: float = setting(_above_zero, 1.0)

    @property
    def weight_of_recall(self) -> float:
        """Beta."""
        return self.beta


@dataclass(frozen=True)
class F1Score(FScore):
    """``2 * precision * recall / (precision + recall)``."""

    name: str | None = setting(optional(text), "f1_score")
