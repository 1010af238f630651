"""What a line of Keras has no kernel for: each claim was tried with ``fit`` of the real libraries (tests/extremes)."""

from typing import Any

import pytest

from engine import metrics
from engine.conventions import CONVENTIONS
from engine.numerics.linter import lint
from tests.engine.numerics.subjects import dense, layer, subject


def lacks(line: str, policy: str, *named: dict[str, Any], shape: tuple[int, ...] = (4,), **settings: Any) -> list[str]:
    measured = tuple(metrics.deserialize(item, CONVENTIONS[line]) for item in named)
    model = subject(dense("head", 3), policy=policy, line=line, shape=shape, metrics=measured, **settings)
    return [each.code for each in lint(model) if each.code.endswith("_without_kernel")]


@pytest.mark.parametrize(
    ("line", "loss", "policies"),
    [
        ("tf2.4", layer("CosineSimilarity"), {"bfloat16"}),
        ("tf2.4", layer("SparseCategoricalCrossentropy"), {"bfloat16"}),
        ("tf2.4", layer("BinaryCrossentropy", label_smoothing=0.1), {"float16", "bfloat16"}),
        ("tf2.4", layer("BinaryCrossentropy"), set()),
        ("tf_keras", layer("CosineSimilarity"), set()),
        ("keras3", layer("SparseCategoricalCrossentropy"), set()),
    ],
)
def test_losses(line: str, loss: dict[str, Any], policies: set[str]) -> None:
    for policy in ("float32", "mixed_float16", "float16", "bfloat16"):
        wanted = ["loss_without_kernel"] if policy.removeprefix("mixed_") in policies else []
        assert lacks(line, policy, loss=loss, optimizer="sgd") == wanted


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
def test_metrics(line: str, metric: dict[str, Any], found: bool) -> None:
    for policy in ("mixed_float16", "bfloat16"):
        assert lacks(line, policy, metric, optimizer="sgd") == ["metric_without_kernel"] * int(found)
    assert lacks(line, "float32", metric, optimizer="sgd") == []


@pytest.mark.parametrize(
    ("line", "optimizer", "found"),
    [
        ("tf2.4", layer("Adamax"), True),
        ("tf2.4", layer("SGD", global_clipnorm=1.0), True),
        ("tf2.4", layer("SGD", clipnorm=1.0), False),
        ("tf_keras", layer("Adamax"), False),
        ("keras3", layer("SGD", global_clipnorm=1.0), False),
    ],
)
def test_optimizers(line: str, optimizer: dict[str, Any], found: bool) -> None:
    assert lacks(line, "bfloat16", optimizer=optimizer) == ["optimizer_without_kernel"] * int(found)
    assert lacks(line, "mixed_bfloat16", optimizer=optimizer) == []


@pytest.mark.parametrize(
    ("line", "axis", "found"), [("keras3", 1, True), ("keras3", -1, False), ("tf_keras", 1, False)]
)
def test_classes_that_do_not_come_last(line: str, axis: int, found: bool) -> None:
    overlap = layer("OneHotMeanIoU", num_classes=3, axis=axis)
    assert lacks(line, "float32", overlap, shape=(3, 4), optimizer="sgd") == ["metric_without_kernel"] * int(found)
