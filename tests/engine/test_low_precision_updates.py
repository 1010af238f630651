"""Stochastic rounding and Kahan's compensation of updates in float16 and bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conventions import KERAS3
from engine.dtypes import BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT16, FLOAT32, DType
from engine.errors import InvalidValue
from engine.initializers import Zeros
from engine.model import model_from_config
from engine.optimizers import SGD
from engine.rounding import round_stochastically, round_to
from engine.tape import Array
from engine.training import FitOptions, Trainer
from engine.weights import WeightSpec
from tests.engine.problems import classifier, data, run
from tests.engine.test_training import fingerprint, saved_and_read

NARROW = [FLOAT16, BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2]


@pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.name)
@given(number=st.floats(-400, 400, width=32).filter(lambda number: not 0 < abs(number) < 2.0**-30))
def test_only_the_two_neighbours_come_out_and_their_mean_is_the_number(dtype: DType, number: float) -> None:
    draws = np.append(np.arange(4095) / 4095, 1 - 2.0**-53)
    found = round_stochastically(np.full(4096, number, np.float32), dtype, draws)
    assert np.array_equal(round_to(found, dtype), found)
    low, high = found.min(), found.max()
    assert low <= number <= high
    nearest = round_to(np.array([number], np.float32), dtype)[0]
    assert nearest in (low, high)
    assert set(found.tolist()) <= {float(low), float(high)}
    middle = round_to(np.array([(float(low) + float(high)) / 2], np.float32), dtype)[0]
    assert middle in (low, high), "nothing lies between neighbours"
    assert abs(float(found.mean(dtype=np.float64)) - number) <= (float(high) - float(low)) / 2048


@pytest.mark.parametrize("dtype", NARROW, ids=lambda dtype: dtype.name)
def test_numbers_on_the_grid_stay(dtype: DType) -> None:
    values = [0.0, -0.0, 1.0, -1.5, dtype.max, -dtype.max, dtype.min_subnormal, np.nan]
    x = np.array(values, np.float32)
    for draw in (0.0, 0.999999):
        found = round_stochastically(x, dtype, np.full(x.shape, draw))
        assert np.array_equal(found, x, equal_nan=True)
        assert np.array_equal(np.signbit(found[:-1]), np.signbit(x[:-1]))


def summed(rounding: str, dtype: DType, gradients: Array) -> float:
    """Return 1 minus all gradients, as SGD with rate 1 takes them off one after the other."""
    spec = WeightSpec("w", "w", (1,), dtype, trainable=True, initializer=Zeros())
    optimizer = SGD(learning_rate=1.0, update_rounding=rounding, conventions=KERAS3)
    variable, slots = np.ones(1, np.float32), optimizer.initial_slots([spec])
    for step, gradient in enumerate(gradients):
        optimizer.apply(step, [spec], [variable], [np.array([gradient], np.float32)], slots)
    return float(variable[0])


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
@given(st.lists(st.floats(-(2.0**-10), 2.0**-10, width=32), min_size=20, max_size=60))
def test_a_compensated_sum_is_no_further_from_the_true_one(dtype: DType, numbers: list[float]) -> None:
    gradients = round_to(np.array(numbers, np.float32), dtype)
    true = 1 - gradients.sum(dtype=np.float64)
    kahan, plain = (abs(summed(rounding, dtype, gradients) - true) for rounding in ("kahan", "nearest"))
    assert kahan <= dtype.epsilon
    assert kahan <= plain + dtype.epsilon


@pytest.mark.parametrize(("rounding", "error"), [("nearest", 0.5), ("kahan", 0.01), ("stochastic", 0.15)])
def test_updates_that_bfloat16_swallows_are_not_lost(rounding: str, error: float) -> None:
    found = summed(rounding, BFLOAT16, np.full(512, 2.0**-10, np.float32))
    assert (abs(found - 0.5) < error) == (rounding != "nearest")


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
@pytest.mark.parametrize("rounding", ["stochastic", "kahan"])
@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_a_run_resumed_at_every_step_is_bit_identical(policy: str, rounding: str, kind: str) -> None:
    def trainer(seed: int = 3) -> Trainer:
        settings = {"update_rounding": rounding, "update_seed": seed, "weight_decay": 0.01, "learning_rate": 0.01}
        model = model_from_config(classifier(batch_norm=False), policy, KERAS3)
        model.compile({"class_name": kind, "config": settings}, "sparse_categorical_crossentropy")
        return Trainer(model, *data(), FitOptions(16, 2), 1)

    whole, _, _ = run(trainer(), trainer().initial_state())
    state = trainer().initial_state()
    resumed = trainer()
    while not resumed.finished(state):
        resumed = trainer()
        state, _ = resumed.advance(saved_and_read(state))
    assert fingerprint(state) == fingerprint(whole)
    assert any(name.startswith("compensation/") for name in whole.slots) == (rounding == "kahan")
    other, _, _ = run(trainer(4), trainer(4).initial_state())
    assert (fingerprint(other) == fingerprint(whole)) == (rounding == "kahan")
    narrow = FLOAT16 if policy == "float16" else BFLOAT16
    for array in (*whole.variables.values(), *whole.slots.values()):
        if array.dtype == FLOAT32.storage and array.ndim:
            assert np.array_equal(round_to(array.copy(), narrow), array)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_rounding_that_no_variable_would_notice_is_refused(policy: Any) -> None:
    model = model_from_config(classifier(), policy, KERAS3)
    optimizer = {"class_name": "Adam", "config": {"update_rounding": "kahan"}}
    with pytest.raises(InvalidValue, match="the model has none") as caught:
        model.compile(optimizer, "sparse_categorical_crossentropy")
    assert caught.value.path == ("optimizer", "config", "update_rounding")
