"""Metrics with several state arrays, held to figures worked out by hand; and how training keeps them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from engine import losses, metrics
from engine.conventions import KERAS3, TF24, TF_KERAS, Conventions
from engine.dtypes import FLOAT16, FLOAT32
from engine.errors import InvalidType, InvalidValue, ShapeMismatch, Unsupported
from engine.model import Model, model_from_config
from engine.state import TrainState
from engine.tape import Array, Tape, Tensor
from engine.training import FitOptions, Trainer
from tests.engine.problems import classifier, data

YES_NO = np.array([[0.0], [0.0], [1.0], [1.0]])
SCORES = np.array([[0.1], [0.4], [0.35], [0.8]])


def made(name: str, config: Mapping[str, Any] | None = None, line: Conventions = KERAS3) -> metrics.Metric:
    return metrics.deserialize({"class_name": name, "config": config or {}}, line)


def measured(metric: metrics.Metric, y_true: Any, y_pred: Any, weights: Any = None) -> Array:
    predictions = Tensor(np.asarray(y_pred, np.float32), FLOAT32)
    state = metric.initial((None, *predictions.shape[1:]))
    return metric.result(metric.updated(state, np.asarray(y_true), predictions, weights))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, 0.75),
        ({"curve": "pr"}, 0.797267),  # as Keras 3.15 has it
        ({"curve": "PRGAIN"}, 0.25),
        ({"thresholds": [0.5]}, 0.75),
        ({"thresholds": [0.2]}, 0.75),
        ({"multi_label": True}, 0.75),
    ],
)
def test_area_under_curve(config: dict[str, Any], expected: float) -> None:
    found = measured(made("AUC", config), YES_NO, SCORES)
    assert found == pytest.approx(expected, rel=1e-6)


def test_label_weights_choose_the_column() -> None:
    labels, scores = np.hstack([YES_NO, 1 - YES_NO]), np.hstack([SCORES, SCORES])
    for weights, expected in ([1.0, 0.0], 0.75), ([0.0, 1.0], 0.25), ([1.0, 1.0], 0.5):
        metric = made("AUC", {"multi_label": True, "label_weights": weights})
        assert measured(metric, labels, scores) == pytest.approx(expected)


def test_logits_go_through_a_sigmoid() -> None:
    logits = np.log(SCORES / (1 - SCORES))
    assert measured(made("AUC", {"from_logits": True}), YES_NO, logits) == pytest.approx(0.75)


def test_thresholds_may_stand_in_any_order() -> None:
    found = measured(made("Recall", {"thresholds": [0.7, 0.2, 0.38]}), YES_NO, SCORES)
    np.testing.assert_allclose(found, [0.5, 1.0, 0.5])


def test_a_prediction_at_a_threshold_is_not_above_it() -> None:
    for thresholds in ([0.35], [0.35, 0.8], [0.1, 0.35, 0.8]):
        found = measured(made("TruePositives", {"thresholds": thresholds}), YES_NO, SCORES)
        assert np.ravel(found)[thresholds.index(0.35)] == 1


@pytest.mark.parametrize("name", ["Precision", "Recall"])
def test_only_the_largest_of_a_row_can_be_a_yes(name: str) -> None:
    labels, scores = np.array([[1, 0, 1], [0, 1, 0]]), np.array([[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]])
    assert measured(made(name, {"top_k": 1}), labels, scores) == pytest.approx(1 / 2 if name == "Precision" else 1 / 3)
    assert measured(made(name, {"top_k": 1, "class_id": 0}), labels, scores) == pytest.approx(
        0.5 if name == "Precision" else 1.0
    )


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("SensitivityAtSpecificity", "specificity", 0.9, 0.5),
        ("SensitivityAtSpecificity", "specificity", 0.5, 1.0),
        ("SpecificityAtSensitivity", "sensitivity", 0.9, 0.5),
        ("PrecisionAtRecall", "recall", 0.9, 2 / 3),
        ("RecallAtPrecision", "precision", 0.9, 0.5),
    ],
)
def test_best_points(name: str, key: str, value: float, expected: float) -> None:
    assert measured(made(name, {key: value}), YES_NO, SCORES) == pytest.approx(expected)


def test_what_is_never_a_number_never_counts_as_a_yes() -> None:
    for metric in made("AUC"), made("TruePositives"), made("TruePositives", {"thresholds": [0.0, 0.5, 1.0]}):
        state = metric.initial((None, 1))
        after = metric.updated(state, np.ones((1, 1)), Tensor(np.full((1, 1), np.nan, np.float32), FLOAT32))
        assert all(np.isfinite(array).all() for array in after.values())
    assert measured(made("TruePositives"), [[1]], [[np.nan]]) == 0


@pytest.mark.parametrize(
    ("average", "expected"), [(None, [0.8, 2 / 3]), ("macro", 11 / 15), ("micro", 0.75), ("weighted", 11 / 15)]
)
def test_f_scores(average: str | None, expected: Any) -> None:
    labels, scores = np.array([[1, 0], [1, 0], [0, 1], [0, 1]]), np.array([[2, 1], [3, 1], [2, 1], [1, 2]])
    found = measured(made("F1Score", {"average": average}), labels, scores)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(measured(made("FBetaScore", {"average": average}), labels, scores), expected, rtol=1e-6)


def test_overlaps() -> None:
    labels, found = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert measured(made("MeanIoU", {"num_classes": 2}), labels, found) == pytest.approx(1 / 3)
    assert measured(made("MeanIoU", {"num_classes": 3}), labels, found) == pytest.approx(1 / 3)
    assert measured(made("IoU", {"num_classes": 2, "target_class_ids": [1]}), labels, found) == pytest.approx(1 / 3)
    assert measured(made("BinaryIoU", {"threshold": 0.5}), labels, found * 0.9) == pytest.approx(1 / 3)
    assert measured(made("OneHotMeanIoU", {"num_classes": 2}), np.eye(2)[labels], np.eye(2)[found]) == pytest.approx(
        1 / 3
    )


def test_pairs_beyond_the_classes_do_not_count() -> None:
    metric = made("MeanIoU", {"num_classes": 2, "ignore_class": 1})
    assert measured(metric, [0, 0, 1, 7, 0], [0, 0, 0, 0, -1]) == pytest.approx(1.0)


def test_keras_3_truncates_the_weights_of_overlaps() -> None:
    weights = np.array([1.9, 0.9])
    for line, kept in (KERAS3, [[1, 0], [0, 0]]), (TF_KERAS, [[1.9, 0], [0.9, 0]]):
        metric = made("MeanIoU", {"num_classes": 2}, line)
        state = metric.updated(metric.initial(), np.array([0, 1]), Tensor(np.zeros(2, np.float32), FLOAT32), weights)
        np.testing.assert_allclose(state["total_confusion_matrix"], kept)
        assert state["total_confusion_matrix"].dtype == (np.int64 if line is KERAS3 else np.float32)


def test_coefficients_of_determination() -> None:
    labels, found = np.array([[1.0, 1], [2, 2], [3, 3]]), np.array([[1.0, 2], [2, 2], [3, 2]])
    np.testing.assert_allclose(measured(made("R2Score", {"class_aggregation": None}), labels, found), [1, 0])
    assert measured(made("R2Score"), labels, found) == pytest.approx(0.5)
    weighted = made("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 1})
    assert measured(weighted, labels, found) == pytest.approx(1 - 0.5 * 5 / 4)  # entries are counted, not rows


def test_correlations() -> None:
    labels, found = np.array([[1.0, 2, 3]]), np.array([[3.0, 5, 7]])
    assert measured(made("PearsonCorrelation"), labels, found) == pytest.approx(1)
    assert measured(made("ConcordanceCorrelation"), labels, found) == pytest.approx(2 * 4 / 3 / (2 / 3 + 8 / 3 + 9))


def test_plain_values() -> None:
    for name, expected in ("Mean", 2.25), ("Sum", 9.0):
        assert measured(made(name), None, [1.0, 3.0], np.array([1.5, 2.5])) == pytest.approx(expected)


def test_keras_2_computes_in_the_dtype_of_the_metric() -> None:
    y_pred = Tensor(np.full((1, 1), 300.0, np.float32), FLOAT16)
    for line, expected in (KERAS3, np.inf), (TF_KERAS, 90000), (TF24, 90000):
        metric = made("MeanSquaredError", {}, line)
        assert metric.result(metric.updated(metric.initial(), np.zeros((1, 1)), y_pred)) == expected


def test_rows_to_ignore_count_as_zero_in_keras_3_alone() -> None:
    labels, scores = np.array([0, 1]), np.full((2, 2), 0.5)
    for line, expected in (KERAS3, np.log(2) / 2), (TF_KERAS, np.log(2)):
        metric = made("SparseCategoricalCrossentropy", {"ignore_class": 1}, line)
        assert measured(metric, labels, scores) == pytest.approx(expected)
        assert measured(metric, labels, scores, np.ones(2)) == pytest.approx(np.log(2))


def test_predictions_that_are_ids_already() -> None:
    metric = made("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True})
    assert measured(metric, [1, 0], [[2, 1, 0], [2, 1, 0]]) == pytest.approx(0.5)


def test_what_a_mask_leaves_out() -> None:
    y_pred = Tensor(np.array([[[1.0], [2.0]], [[3.0], [4.0]]], np.float32), FLOAT32)
    y_pred.mask = np.array([[True, False], [True, False]])
    labels, weights = np.zeros((2, 2, 1)), np.array([3.0, 1.0])
    for line, name, expected in (
        (KERAS3, "MeanSquaredError", 5),
        (KERAS3, "RootMeanSquaredError", 7.5**0.5),
        (TF24, "RootMeanSquaredError", 5**0.5),
    ):
        metric = made(name, {}, line)
        assert metric.result(metric.updated(metric.initial(), labels, y_pred)) == pytest.approx(expected)
    metric = made("MeanSquaredError")
    assert metric.result(metric.updated(metric.initial(), labels, y_pred, weights)) == pytest.approx(3)


def test_nothing_is_recorded_on_the_tape() -> None:
    tape = Tape()
    y_pred = tape.leaf(np.full((2, 1), 0.5, np.float32), FLOAT32)
    metric = made("BinaryCrossentropy")
    metric.updated(metric.initial(), np.ones((2, 1)), y_pred)
    assert len(tape.nodes) == 1


@pytest.mark.parametrize("name", ["mean", "Mean", "sum", "Sum"])
def test_plain_values_are_no_metric_of_a_model(name: str) -> None:
    with pytest.raises((InvalidValue, Unsupported), match=r"takes plain values|Unknown metric"):
        metrics.get(name)


def test_a_name_without_what_it_needs() -> None:
    with pytest.raises(InvalidType, match="MeanIoU needs `num_classes`"):
        metrics.get("MeanIoU")


@pytest.mark.parametrize(("line", "shown"), [(KERAS3, "AUC"), (TF24, "auc")], ids=["keras3", "tf2.4"])
def test_class_names_are_shown_as_given_in_keras_3(line: Conventions, shown: str) -> None:
    assert metrics.get("AUC", conventions=line).name == shown
    assert metrics.get("auc", conventions=line).name == "auc"


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("AUC", {"num_thresholds": 1}, "above 1"),
        ("AUC", {"curve": "LIFT"}, "'ROC', 'PR', 'PRGAIN'"),
        ("AUC", {"num_labels": 3}, "multi_label"),
        ("AUC", {"summation_method": "left"}, "interpolation"),
        ("Precision", {"thresholds": [0.5, 1.5]}, r"\[0, 1\]"),
        ("Recall", {"top_k": 0}, "positive"),
        ("F1Score", {"threshold": 0.0}, "above 0"),
        ("F1Score", {"average": "mean"}, "micro"),
        ("FBetaScore", {"beta": 0.0}, "above 0"),
        ("IoU", {"num_classes": 2, "target_class_ids": [2]}, "out of range"),
        ("IoU", {"num_classes": 2, "target_class_ids": []}, "list of class numbers"),
        ("BinaryIoU", {"target_class_ids": [2]}, "out of range"),
        ("R2Score", {"class_aggregation": "sum"}, "uniform_average"),
        ("SensitivityAtSpecificity", {"specificity": 2}, r"\[0, 1\]"),
    ],
)
def test_bad_settings(name: str, config: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        made(name, config)


@pytest.mark.parametrize(
    ("metric", "output"),
    [
        (made("F1Score"), (None, 3, 2)),
        (made("R2Score"), (None, None)),
        (made("AUC", {"multi_label": True}), (None,)),
        (made("AUC", {"multi_label": True, "num_labels": 2}), (None, 3)),
        (made("OneHotIoU", {"num_classes": 3, "target_class_ids": [0], "axis": 2}), (None, 3)),
        (made("MeanIoU", {"num_classes": 3, "axis": -3, "sparse_y_pred": False}), (None, 3)),
    ],
)
def test_outputs_that_a_metric_does_not_take(metric: metrics.Metric, output: tuple[int | None, ...]) -> None:
    with pytest.raises(ShapeMismatch):
        metric.takes(output)


@pytest.mark.parametrize(
    ("metric", "labels"),
    [(made("AUC"), np.ones(3)), (made("Precision", {"class_id": 5}), np.ones((2, 2))), (made("R2Score"), np.ones(3))],
)
def test_labels_that_do_not_fit(metric: metrics.Metric, labels: Array) -> None:
    with pytest.raises(ShapeMismatch):
        measured(metric, labels, np.ones((2, 2)))


@pytest.mark.parametrize("name", ["MeanIoU", "OneHotMeanIoU"])
def test_overlaps_take_one_weight_a_prediction(name: str) -> None:
    """As in Keras, whose confusion matrix cannot broadcast the weights of rows to the places in them."""
    metric = made(name, {"num_classes": 2})
    pairs = (np.ones((3, 4, 2)), np.ones((3, 4, 2)))
    with pytest.raises(ShapeMismatch, match="3 sample weights"):
        measured(metric, *pairs, weights=np.ones(3))


METRICS: list[Any] = [
    "acc",
    "AUC",
    {"class_name": "Precision", "config": {"thresholds": [0.2, 0.5]}},
    {"class_name": "F1Score", "config": {}},
    {"class_name": "AUC", "config": {"multi_label": True, "name": "loss"}},
    {"class_name": "AUC", "config": {"name": "auc"}},
]


def model() -> Model:
    found = model_from_config(classifier(), "mixed_float16")
    found.compile("adam", losses.CategoricalFocalCrossentropy(), METRICS)
    return found


def trainer() -> Trainer:
    x, y = data()
    return Trainer(model(), x, np.eye(3)[y], FitOptions(batch_size=8, epochs=2, validation_split=0.2), seed=3)


def test_logs_name_every_result() -> None:
    running = trainer()
    state = running.initial_state()
    while not running.finished(state):
        state, _ = running.advance(state)
    names = ["loss", "acc", "auc", "precision/0", "precision/1"]
    names += ["f1_score/0", "f1_score/1", "f1_score/2", "loss_1", "auc_1"]
    assert list(state.history[-1]) == names + [f"val_{name}" for name in names]
    assert state.history[-1]["auc"] == state.history[-1]["auc_1"]
    assert 0 < state.history[-1]["auc"] < 1


def test_resuming_in_the_middle_of_an_epoch_keeps_every_count() -> None:
    running = trainer()
    state = running.initial_state()
    for _ in range(3):
        state, _ = running.advance(state)
    arrays, meta = state.to_parts()
    copies = {name: array.copy() for name, array in arrays.items()}
    assert copies["metrics/auc/true_positives"].shape == (200,)
    assert copies["metrics/loss_1/true_positives"].shape == (200, 3)
    resumed = TrainState.from_parts(copies, meta)
    other = trainer()
    while not running.finished(state):
        state, record = running.advance(state)
        resumed, again = other.advance(resumed)
        assert record == again


def test_a_metric_that_does_not_take_the_output_is_refused_by_compile() -> None:
    found = model_from_config(classifier())
    with pytest.raises(ShapeMismatch) as caught:
        found.compile("sgd", "mse", ["mae", {"class_name": "AUC", "config": {"multi_label": True, "num_labels": 9}}])
    assert caught.value.path == ("metrics", 1)
