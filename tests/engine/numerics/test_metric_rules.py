"""Metrics that a line of Keras refuses: each claim was tried with ``fit`` of the real libraries (docs/extremes.md)."""

from typing import Any

import pytest

from engine import metrics
from engine.conventions import CONVENTIONS
from engine.numerics.linter import lint
from tests.engine.numerics.subjects import dense, layer, subject


def refused(line: str, policy: str, named: dict[str, Any], shape: tuple[int, ...] = (4,)) -> list[str | None]:
    measured = (metrics.deserialize(named, CONVENTIONS[line]),)
    model = subject(dense("head", 3), policy=policy, line=line, shape=shape, metrics=measured, optimizer="sgd")
    return [each.layer for each in lint(model) if each.code == "original_refuses"]


@pytest.mark.parametrize(
    ("line", "metric", "found"),
    [
        ("keras3", layer("TopKCategoricalAccuracy"), True),
        ("keras3", layer("SparseTopKCategoricalAccuracy", k=2), True),
        ("keras3", layer("SparseTopKCategoricalAccuracy", k=2, from_sorted_ids=True), False),
        ("keras3", layer("F1Score"), False),
        ("tf_keras", layer("TopKCategoricalAccuracy"), False),
        ("tf_keras", layer("F1Score"), True),
        ("tf_keras", layer("R2Score"), True),
        ("tf2.4", layer("TopKCategoricalAccuracy"), False),
    ],
)
def test_predictions_in_16_bits(line: str, metric: dict[str, Any], found: bool) -> None:
    for policy in ("mixed_float16", "bfloat16"):
        assert refused(line, policy, metric) == ["head"] * int(found)
    assert refused(line, "float32", metric) == []


@pytest.mark.parametrize(
    ("line", "axis", "found"), [("keras3", 1, True), ("keras3", -1, False), ("tf_keras", 1, False)]
)
def test_classes_that_do_not_come_last(line: str, axis: int, found: bool) -> None:
    overlap = layer("OneHotMeanIoU", num_classes=3, axis=axis)
    assert refused(line, "float32", overlap, shape=(3, 4)) == ["head"] * int(found)
