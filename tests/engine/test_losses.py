"""How losses and means of them weigh and mask, beyond what the recorded cases hold."""

import numpy as np
import pytest

from engine import losses, metrics
from engine.conventions import KERAS3, TF24, TF_KERAS, Conventions
from engine.dtypes import FLOAT16, FLOAT32
from engine.errors import InvalidValue
from engine.tape import Tape, Tensor

LABELS = np.zeros((2, 3, 1), np.float32)
PREDICTIONS = np.array([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]], np.float32)  # squares 1 4 9 16 25 36
MASK = np.array([[True, False, True], [False, False, True]])


def mse(conventions: Conventions, reduction: str = "sum_over_batch_size") -> losses.Loss:
    return losses.deserialize({"class_name": "MeanSquaredError", "config": {"reduction": reduction}}, conventions)


def predictions() -> Tensor:
    return Tensor(PREDICTIONS.copy(), FLOAT32)


def test_keras_3_takes_the_mean_of_what_a_mask_leaves() -> None:
    assert mse(KERAS3)(LABELS, predictions(), None, MASK).data == pytest.approx((1 + 9 + 36) / 3)


def test_predictions_carry_their_mask() -> None:
    masked = predictions()
    masked.mask = MASK
    assert mse(KERAS3)(LABELS, masked).data == pytest.approx((1 + 9 + 36) / 3)


def test_tf_keras_does_so_too() -> None:
    assert mse(TF_KERAS)(LABELS, predictions(), None, MASK).data == pytest.approx((1 + 9 + 36) / 3)


def test_tf_2_4_divides_by_all_losses() -> None:
    assert mse(TF24)(LABELS, predictions(), None, MASK).data == pytest.approx((1 + 9 + 36) / 6)


def test_nothing_but_masked_entries() -> None:
    nothing = np.zeros_like(MASK)
    assert mse(KERAS3)(LABELS, predictions(), None, nothing).data == 0
    with np.errstate(all="ignore"):
        assert np.isnan(mse(TF_KERAS)(LABELS, predictions(), None, nothing).data)


def test_a_mask_and_weights_multiply() -> None:
    weights = np.array([[2.0], [1.0]])
    assert mse(KERAS3, "sum")(LABELS, predictions(), weights, MASK).data == pytest.approx(2 * (1 + 9) + 36)
    mean = mse(KERAS3, "mean_with_sample_weight")(LABELS, predictions(), weights, MASK).data
    assert mean == pytest.approx((2 * (1 + 9) + 36) / 5)


def test_masked_entries_have_no_gradient() -> None:
    tape = Tape()
    leaf = tape.leaf(PREDICTIONS.copy(), FLOAT32)
    gradient = tape.gradient(mse(KERAS3)(LABELS, leaf, None, MASK), [leaf])[0]
    assert gradient is not None
    np.testing.assert_allclose(gradient[..., 0], np.where(MASK, 2 * PREDICTIONS[..., 0] / 3, 0), rtol=1e-6)


def test_a_class_to_ignore_and_a_mask_both_count() -> None:
    loss = losses.deserialize(
        {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True, "ignore_class": 1}}, KERAS3
    )
    logits = np.log(np.array([[[0.5, 0.5]] * 3] * 2, np.float32))
    labels = np.array([[0, 1, 0], [0, 0, 1]])
    value = loss(labels, Tensor(logits, FLOAT32), None, MASK)
    assert value.data == pytest.approx(np.log(2))
    kept = losses.deserialize(
        {
            "class_name": "SparseCategoricalCrossentropy",
            "config": {"from_logits": True, "ignore_class": 1, "reduction": "none"},
        },
        KERAS3,
    )
    np.testing.assert_array_equal(kept(labels, Tensor(logits, FLOAT32)).data > 0, labels == 0)


def test_column_of_weights_makes_a_column_of_losses_in_keras_3_alone() -> None:
    flat = np.zeros((4, 1), np.float32)
    y_pred = Tensor(np.ones((4, 1), np.float32), FLOAT32)
    weights = np.arange(4.0)[:, np.newaxis]
    assert mse(KERAS3, "none")(flat, y_pred, weights).shape == (4, 1)
    assert mse(KERAS3, "none")(flat, y_pred, weights, np.ones(4, bool)).shape == (4, 1)
    assert mse(TF24, "none")(flat, y_pred, weights).shape == (4,)


def test_keras_2_computes_in_the_dtype_of_the_prediction() -> None:
    y_pred = Tensor(np.full((1, 1), 300.0, np.float32), FLOAT16)
    labels = np.zeros((1, 1))
    assert mse(TF24)(labels, y_pred).data == np.inf
    assert mse(KERAS3)(labels, y_pred).data == 90000


def test_tf_2_4_reduces_in_float32_and_tf_keras_does_not() -> None:
    y_pred = Tensor(np.full((4, 1), 200.0, np.float32), FLOAT16)
    labels = np.zeros((4, 1))
    with np.errstate(over="ignore"):
        assert mse(TF24)(labels, y_pred).data == 40000
        assert mse(TF_KERAS)(labels, y_pred).data == np.inf


def test_labels_lie_on_the_grid_of_the_prediction() -> None:
    loss = losses.get("mae", TF24)
    assert loss(np.array([[2049.0]]), Tensor(np.array([[2048.0]], np.float32), FLOAT16)).data == 0


@pytest.mark.parametrize("name", ["bce", "BCE", "huber", "huber_loss", "kld", "MAPE", "msle", "logcosh", "Tversky"])
def test_names(name: str) -> None:
    assert losses.get(name) == losses.NAMES[name]()


def test_keras_3_forgets_what_huber_was_given_unless_it_matters() -> None:
    assert "delta" not in losses.Huber().get_config(KERAS3)
    assert losses.Huber(delta=2.0).get_config(KERAS3)["delta"] == 2.0
    assert losses.Huber().get_config(TF_KERAS)["delta"] == 1.0


def test_keras_3_has_no_auto_reduction() -> None:
    assert losses.Hinge().get_config(KERAS3)["reduction"] == "sum_over_batch_size"
    assert losses.Hinge().get_config(TF24)["reduction"] == "auto"


def test_an_overlap_of_everything_is_one_number_whatever_the_reduction() -> None:
    loss = losses.deserialize({"class_name": "Dice", "config": {"reduction": "none"}}, KERAS3)
    assert loss(np.ones((2, 3)), Tensor(np.ones((2, 3), np.float32), FLOAT32)).shape == ()


@pytest.mark.parametrize("q", [0, 1, 1.5, "a"])
def test_the_exponent_of_the_generalized_crossentropy_lies_between(q: object) -> None:
    with pytest.raises(InvalidValue, match="q"):
        losses.deserialize({"class_name": "CategoricalGeneralizedCrossEntropy", "config": {"q": q}})


@pytest.mark.parametrize("weights", [np.array([1.0, 3.0]), np.array([[1.0], [3.0]])])
def test_metrics_count_a_sample_once_however_many_entries_it_has(weights: np.ndarray) -> None:
    metric = metrics.deserialize({"class_name": "MeanSquaredError", "config": {}})
    state = metric.updated(metric.initial(), LABELS, predictions(), weights)
    first, second = (1 + 4 + 9) / 3, (16 + 25 + 36) / 3
    np.testing.assert_allclose([state["total"], state["count"]], [first + 3 * second, 4], rtol=1e-6)
    assert metric.result(state) == pytest.approx((first + 3 * second) / 4)
    unweighted = metric.updated(metric.initial(), LABELS, predictions())
    np.testing.assert_allclose([unweighted["total"], unweighted["count"]], [first + second, 2], rtol=1e-6)


def test_weights_for_every_entry() -> None:
    metric = metrics.deserialize({"class_name": "MeanSquaredError", "config": {}})
    state = metric.updated(metric.initial(), LABELS, predictions(), MASK)
    assert metric.result(state) == pytest.approx((1 + 9 + 36) / 3)
