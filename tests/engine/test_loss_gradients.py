"""Every loss: its gradient against finite differences, and its results on the grid of the dtype."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import losses, ops
from engine.conventions import KERAS3, TF_KERAS, Conventions
from engine.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, DType
from engine.ops.powers import power, reciprocal_root
from engine.rounding import round_to
from engine.tape import Array, Tape, Tensor
from tests.engine.gradients import check_gradients

RNG = np.random.default_rng(40)
SHAPE = (3, 4)
CLASSES = RNG.integers(0, 4, 3)
ONE_HOT = np.eye(4)[CLASSES]
YES_NO = RNG.integers(0, 2, SHAPE).astype(float)
NUMBERS = RNG.normal(size=SHAPE)
SHARES = RNG.dirichlet(np.ones(4), 3)
SHARES_OF_COLUMNS = RNG.dirichlet(np.ones(3), 4).T
LABELS: dict[str, Array] = {
    "BinaryCrossentropy": YES_NO,
    "BinaryFocalCrossentropy": YES_NO,
    "CategoricalCrossentropy": ONE_HOT,
    "CategoricalFocalCrossentropy": ONE_HOT,
    "CategoricalGeneralizedCrossEntropy": CLASSES,
    "CategoricalHinge": ONE_HOT,
    "CosineSimilarity": NUMBERS,
    "Dice": YES_NO,
    "Hinge": YES_NO,
    "Huber": NUMBERS,
    "KLDivergence": SHARES,
    "LogCosh": NUMBERS,
    "MeanAbsoluteError": NUMBERS,
    "MeanAbsolutePercentageError": NUMBERS + 3,
    "MeanSquaredError": NUMBERS,
    "MeanSquaredLogarithmicError": SHARES,
    "Poisson": SHARES,
    "SparseCategoricalCrossentropy": CLASSES,
    "SquaredHinge": YES_NO,
    "Tversky": YES_NO,
}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in LABELS),
    ("BinaryCrossentropy", {"label_smoothing": 0.2, "axis": 0}),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "gamma": 1.5, "label_smoothing": 0.1}),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2, "axis": 0}),
    ("CategoricalFocalCrossentropy", {"gamma": 0.5, "axis": 0}),
    ("CosineSimilarity", {"axis": 0}),
    ("Dice", {"axis": [0]}),
    ("Huber", {"delta": 0.3}),
    ("SparseCategoricalCrossentropy", {"ignore_class": int(CLASSES[0])}),
    ("Tversky", {"alpha": 0.2, "beta": 0.9, "axis": -1}),
    *((name, {"from_logits": True}) for name in LABELS if name.endswith("entropy") and "Generalized" not in name),
]
"""Every loss with its defaults, and those settings that take another way."""

LOSSES = pytest.mark.parametrize(("name", "config"), SETTINGS, ids=str)
LINES = pytest.mark.parametrize("line", [KERAS3, TF_KERAS], ids=lambda line: line.name)


def built(name: str, config: dict[str, Any], line: Conventions) -> losses.Loss:
    return losses.deserialize({"class_name": name, "config": {**config, "reduction": "none"}}, line)


def probabilities() -> Array:
    """Return predictions that every loss takes, away from where one bends."""
    return np.clip(RNG.dirichlet(np.ones(4) * 3, 3), 0.05, 0.9)


def test_every_loss_is_here() -> None:
    assert set(LABELS) == set(losses.LOSSES)


@LOSSES
@LINES
def test_gradients(name: str, config: dict[str, Any], line: Conventions) -> None:
    loss = built(name, config, replace(line, floatx=FLOAT64))
    check_gradients(lambda y_pred: loss(LABELS[name], y_pred), probabilities(), tolerance=1e-6)


@LOSSES
@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
def test_keras_2_stays_on_the_grid(name: str, config: dict[str, Any], dtype: DType) -> None:
    y_pred = Tensor(round_to(probabilities().astype(np.float32), dtype), dtype)
    value = built(name, config, TF_KERAS)(LABELS[name], y_pred)
    expected = TF_KERAS.floatx if name == "Huber" else dtype
    assert value.dtype is expected
    np.testing.assert_array_equal(value.data, round_to(value.data.copy(), expected))


OPS: dict[str, Callable[[Tensor], Tensor]] = {
    "power": lambda x: power(x, 1.7),
    "power_negative": lambda x: power(x, -0.5),
    "reciprocal_root": reciprocal_root,
    "softmax_crossentropy_axis": lambda x: ops.softmax_crossentropy(x, SHARES_OF_COLUMNS, axis=0),
}


@pytest.mark.parametrize("name", OPS)
def test_gradients_of_ops(name: str) -> None:
    check_gradients(OPS[name], RNG.uniform(0.5, 3, SHAPE))


def test_a_vector_of_zeros_has_a_gradient_in_keras_3() -> None:
    loss = built("CosineSimilarity", {}, KERAS3)
    tape = Tape()
    zeros = tape.leaf(np.zeros((1, 2), np.float32), FLOAT32)
    with np.errstate(divide="ignore", invalid="ignore"):
        gradient = tape.gradient(loss(np.array([[3.0, 4.0]]), zeros), [zeros])[0]
    np.testing.assert_allclose(np.asarray(gradient), [[-0.6e7, -0.8e7]], rtol=1e-6)  # 1e7: Keras's longest reciprocal
