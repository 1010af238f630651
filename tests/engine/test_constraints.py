"""Weight constraints: what they hold, on any grid, alone and in a training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine import constraints
from engine.constraints import CONSTRAINTS, Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from engine.conventions import KERAS3, TF24
from engine.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64
from engine.errors import EngineError
from engine.model import model_from_config
from engine.rounding import round_to
from tests.engine.problems import classifier, data

WEIGHTS = arrays(np.float64, (3, 4), elements=st.floats(-100, 100, width=32))


def norms(weight, axis=0):
    return np.linalg.norm(weight, axis=axis)


@given(WEIGHTS)
def test_norms_come_into_their_bounds(weight):
    assert (NonNeg()(weight, FLOAT64) >= 0).all()
    assert (norms(MaxNorm(2.0)(weight, FLOAT64)) <= 2 * (1 + 1e-6)).all()
    moved = norms(MinMaxNorm(0.5, 1.5)(weight, FLOAT64))
    at_all = norms(weight) > 1e-3
    assert (moved[at_all] > 0.5 * (1 - 1e-3)).all()
    assert (moved <= 1.5 * (1 + 1e-6)).all()
    np.testing.assert_allclose(norms(UnitNorm(axis=1)(weight, FLOAT64), 1)[norms(weight, 1) > 1e-2], 1, rtol=1e-4)


@given(WEIGHTS)
def test_what_is_within_bounds_hardly_moves(weight):
    for constraint in (MaxNorm(1e4), MinMaxNorm(0.0, 1e4), MinMaxNorm(0.0, 1.0, rate=0.0)):
        np.testing.assert_allclose(constraint(weight, FLOAT64), weight, rtol=1e-3, atol=1e-6)
    assert np.array_equal(NonNeg()(abs(weight), FLOAT64), abs(weight))


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16, FLOAT32], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("name", sorted(CONSTRAINTS))
def test_weights_stay_on_their_grid(name, dtype):
    weight = round_to(np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32) * 3, dtype)
    before = weight.copy()
    found = CONSTRAINTS[name]()(weight, dtype)
    assert np.array_equal(found, round_to(found.copy(), dtype))
    assert np.array_equal(weight, before)


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (None, None),
        ("max_norm", MaxNorm()),
        ("NonNeg", NonNeg()),
        ({"class_name": "unit_norm", "config": {"axis": [0, 1]}}, UnitNorm((0, 1))),
        (MinMaxNorm(0.1), MinMaxNorm(0.1)),
    ],
)
def test_reading_and_writing(identifier, expected):
    found = constraints.get("kernel_constraint", identifier)
    assert found == expected
    for line in (TF24, KERAS3):
        assert constraints.get("kernel_constraint", constraints.write(found, line)) == expected


@pytest.mark.parametrize("identifier", [3, "norm", {"class_name": "MaxNorm", "config": {"axis": "x"}}, {}])
def test_bad_constraints_are_refused(identifier):
    with pytest.raises(EngineError):
        constraints.get("kernel_constraint", identifier)


def test_a_constraint_has_to_say_what_it_does():
    with pytest.raises(AssertionError):
        Constraint()(np.zeros(1), FLOAT32)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "float16"])
def test_training_holds_them_after_every_step(policy):
    config = classifier(batch_norm=False, dropout=0.0)
    settings = config["config"]["layers"][1]["config"]
    settings |= {
        "kernel_constraint": "non_neg",
        "bias_constraint": {"class_name": "MaxNorm", "config": {"max_value": 0.01}},
    }
    model = model_from_config(config, policy)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = data()
    for _ in range(3):
        model.train_on_batch(x, y)
        kernel, bias = model.get_weights()[:2]
        assert (kernel >= 0).all()
        assert norms(bias.astype(np.float64)) <= 0.0101
    assert model.get_config()["config"]["layers"][1]["config"]["kernel_constraint"] == {
        "class_name": "NonNeg",
        "config": {},
    }
