"""What surrounds an update: decay, clipping, accumulation, moving averages, constraints, rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.constraints import NonNeg, UnitNorm
from engine.conventions import KERAS3, TF24, TF_KERAS
from engine.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64
from engine.errors import InvalidValue
from engine.gradients import RowGradient, added, dense
from engine.optimizers import OPTIMIZERS, SGD, Adam, Nadam, RMSprop
from engine.optimizers.clipping import clipped_by_global_norm, clipped_by_norm, clipped_by_value
from engine.rounding import round_to
from engine.schedules import ExponentialDecay
from engine.tape import Op, Tape, apply
from tests.engine.updates import Variables, random, spec, variables

NUMBERS = st.floats(-1e6, 1e6, width=32)
GRADIENT = arrays(np.float64, st.integers(1, 6), elements=NUMBERS)
LIMITS = st.floats(1e-3, 1e3)


@given(st.lists(GRADIENT, min_size=1, max_size=3), LIMITS)
def test_clipping_by_norm_shortens_and_never_turns(gradients, limit):
    for gradient, clipped in zip(gradients, clipped_by_norm(gradients, [FLOAT64] * len(gradients), limit), strict=True):
        norm = np.linalg.norm(gradient)
        assert np.linalg.norm(clipped) <= limit * (1 + 1e-9)
        np.testing.assert_allclose(clipped, gradient * min(1.0, limit / max(norm, 1e-300)), rtol=1e-12, atol=1e-300)


@given(st.lists(GRADIENT, min_size=1, max_size=3), LIMITS)
def test_clipping_by_the_global_norm_scales_all_alike(gradients, limit):
    clipped = clipped_by_global_norm(gradients, [FLOAT64] * len(gradients), limit)
    flat, short = np.concatenate(gradients), np.concatenate(clipped)
    assert np.linalg.norm(short) <= limit * (1 + 1e-9)
    np.testing.assert_allclose(short, flat * min(1.0, limit / max(np.linalg.norm(flat), 1e-300)), rtol=1e-12)


@given(GRADIENT, LIMITS)
def test_clipping_by_value_bounds_and_leaves_the_rest(gradient, limit):
    (found,) = clipped_by_value([gradient], [FLOAT64], limit)
    clipped = np.asarray(found)
    assert (abs(clipped) <= limit).all()
    inside = abs(gradient) <= limit
    assert np.array_equal(clipped[inside], gradient[inside])


@pytest.mark.parametrize("clip", [clipped_by_norm, clipped_by_global_norm, clipped_by_value])
def test_clipped_gradients_stay_on_their_grid(clip):
    gradient = round_to(np.linspace(-3, 3, 50, dtype=np.float32), FLOAT16)
    (clipped, nothing) = clip([gradient, None], [FLOAT16, FLOAT16], 0.3)
    assert nothing is None
    assert np.array_equal(clipped, round_to(clipped.copy(), FLOAT16))


def test_a_norm_that_is_not_finite():
    gradients = [np.array([1.0, np.inf]), np.array([2.0])]
    with np.errstate(invalid="ignore"):
        by_norm = clipped_by_norm(gradients, [FLOAT64] * 2, 1.0)
        by_global_norm = clipped_by_global_norm(gradients, [FLOAT64] * 2, 1.0)
    assert by_norm[0] is not None
    np.testing.assert_array_equal(dense(by_norm[0]), [0.0, np.nan])
    assert np.isnan(np.concatenate(by_global_norm)).all()


@pytest.mark.parametrize("line", [KERAS3, TF_KERAS, TF24], ids=lambda line: line.name)
def test_clipping_precedes_decay_and_decay_the_update(line):
    optimizer = SGD(learning_rate=0.5, weight_decay=0.25, clipvalue=1.0, conventions=line)
    of = variables(optimizer, shapes=[(2,)])
    before = of.copies()[0]
    of.step([np.array([3.0, -0.5])])
    np.testing.assert_allclose(of.arrays[0], before * (1 - 0.5 * 0.25) - 0.5 * np.array([1.0, -0.5]), rtol=1e-15)


def test_keras3_takes_one_limit_keras2_a_limit_of_the_norm_and_one_of_values():
    both = {"clipnorm": 1.0, "clipvalue": 0.5}
    with pytest.raises(InvalidValue, match="Only one"):
        SGD(**both, conventions=KERAS3)
    for line, expected in ((TF24, [0.5, 0.5]), (TF_KERAS, [0.6, 0.8])):
        of = variables(SGD(learning_rate=1.0, **both, conventions=line), shapes=[(2,)])
        before = of.copies()[0]
        of.step([np.array([3.0, 4.0])])
        np.testing.assert_allclose(before - of.arrays[0], expected)
        with pytest.raises(InvalidValue, match="Only one"):
            SGD(clipnorm=1.0, global_clipnorm=1.0, conventions=line)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 5), st.integers(1, 3))
def test_a_window_is_one_update_with_the_mean_gradient(steps, windows):
    whole = variables(Adam(gradient_accumulation_steps=steps, conventions=KERAS3))
    single = variables(Adam(conventions=KERAS3))
    for window in range(windows):
        parts = [random(whole.specs, seed=100 * window + step) for step in range(steps)]
        for part in parts:
            before = whole.copies()
            whole.step(part)
            if whole.iterations % steps:
                assert all(np.array_equal(a, b) for a, b in zip(before, whole.arrays, strict=True))
        single.step([sum(same) / steps for same in zip(*parts, strict=True)])
    for one, other in zip(whole.arrays, single.arrays, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert not any(array.any() for key, array in whole.slots.items() if key.startswith("gradient_accumulator"))


def test_in_a_window_the_schedule_sees_steps_and_clipping_the_mean():
    rate = ExponentialDecay(1.0, 1, 0.5)
    of = variables(
        SGD(learning_rate=rate, gradient_accumulation_steps=2, clipvalue=1.0, conventions=KERAS3), shapes=[(1,)]
    )
    before = of.copies()[0]
    of.step([np.array([9.0])])
    of.step([np.array([-8.0])])
    np.testing.assert_allclose(before - of.arrays[0], [0.5 * 0.5])


def test_keras3s_average_begins_with_the_first_update():
    of = variables(SGD(learning_rate=0.1, use_ema=True, ema_momentum=0.75, conventions=KERAS3), shapes=[(2,)])
    of.step(random(of.specs, 1))
    first = of.copies()[0]
    assert np.array_equal(of.slots["average/v0"], first)
    of.step(random(of.specs, 2))
    np.testing.assert_allclose(of.slots["average/v0"], 0.75 * first + 0.25 * of.arrays[0], rtol=1e-15)


def test_keras2s_average_begins_with_the_variable():
    of = variables(SGD(learning_rate=0.1, use_ema=True, ema_momentum=0.75, conventions=TF_KERAS), shapes=[(2,)])
    first = of.copies()[0]
    assert np.array_equal(of.slots["average/v0"], first)
    of.step(random(of.specs, 1))
    np.testing.assert_allclose(of.slots["average/v0"], 0.75 * first + 0.25 * of.arrays[0], rtol=1e-15)


def test_averages_replace_the_variables_in_time_and_in_the_end():
    of = variables(
        SGD(learning_rate=0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3, conventions=KERAS3)
    )
    same = []
    for step in range(7):
        of.step(random(of.specs, step))
        same.append(
            all(np.array_equal(of.slots[f"average/{s.path}"], a) for s, a in zip(of.specs, of.arrays, strict=True))
        )
    assert same == [True, False, True, False, False, True, False]
    of.optimizer.finish(of.specs, dict(zip((s.path for s in of.specs), of.arrays, strict=True)), of.slots)
    assert all(np.array_equal(of.slots[f"average/{s.path}"], a) for s, a in zip(of.specs, of.arrays, strict=True))


def test_constraints_come_after_the_update_and_after_the_averages():
    optimizer = SGD(learning_rate=1.0, use_ema=True, conventions=KERAS3)
    specs = (spec((3,), path="a", constraint=NonNeg()), spec((2, 2), path="b", constraint=UnitNorm()))
    of = Variables(optimizer, specs, random(specs, 0), optimizer.initial_slots(specs))
    of.step([np.array([5.0, -5.0, 5.0]), np.ones((2, 2))])
    assert (of.arrays[0] >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(of.arrays[1], axis=0), 1, rtol=1e-6)
    assert (of.slots["average/a"] < 0).any()


ROWS = st.lists(st.integers(0, 4), min_size=1, max_size=6)


def row_gradient(indices: list[int], seed: int = 0) -> RowGradient:
    rows = np.random.default_rng(seed).normal(size=(len(indices), 3))
    return RowGradient(np.array(indices), rows, (5, 3))


@given(ROWS)
def test_rows_add_up(indices):
    gradient = row_gradient(indices)
    merged = np.zeros((5, 3))
    squares = np.zeros((5, 3))
    for index, row in zip(indices, gradient.rows, strict=True):
        merged[index] += row
        squares[index] += row**2
    np.testing.assert_allclose(gradient.merged(), merged, atol=1e-15)
    np.testing.assert_allclose(gradient.magnitudes() ** 2, squares, rtol=1e-13)
    np.testing.assert_allclose(dense(added(gradient, gradient)), 2 * merged, atol=1e-15)
    np.testing.assert_allclose(dense(added(merged, gradient)), 2 * merged, atol=1e-15)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True))
def test_rows_that_do_not_repeat_are_a_dense_gradient(name, indices):
    for line in (KERAS3, TF_KERAS):
        by_rows, whole = (variables(OPTIMIZERS[name](conventions=line), shapes=[(5, 3)]) for _ in range(2))
        for seed in range(3):
            gradient = row_gradient(indices, seed)
            by_rows.step([gradient])
            whole.step([gradient.merged()])
        np.testing.assert_allclose(by_rows.arrays[0], whole.arrays[0], rtol=1e-12)


def test_repeated_rows_are_squared_one_by_one_in_keras3_alone():
    gradient = RowGradient(np.array([1, 1]), np.array([[3.0], [4.0]]), (2, 1))
    for line, expected in ((KERAS3, 25.0), (TF_KERAS, 49.0), (TF24, 49.0)):
        optimizer = RMSprop(rho=0.0, conventions=dataclasses.replace(line, floatx=FLOAT64))
        of = variables(optimizer, shapes=[(2, 1)])
        of.step([gradient])
        np.testing.assert_allclose(of.slots["velocity/v0"], [[0.0], [expected]])


LAZY = [("SGD", {"momentum": 0.5}), ("RMSprop", {"momentum": 0.5}), ("Adamax", {}), ("Adadelta", {})]


@pytest.mark.parametrize(("name", "config"), LAZY)
def test_tf24_leaves_rows_without_a_gradient_alone(name, config):
    for line, lazy in ((TF24, True), (KERAS3, False)):
        of = variables(OPTIMIZERS[name].from_config(config, conventions=line), shapes=[(5, 3)])
        of.step([row_gradient([0, 1, 2, 3, 4])])
        before = [of.copies()[0], *(array.copy() for array in of.slots.values())]
        of.step([row_gradient([1, 3, 1])])
        after = [of.arrays[0], *of.slots.values()]
        assert all(np.array_equal(a[[0, 2, 4]], b[[0, 2, 4]]) for a, b in zip(before, after, strict=True)) == lazy
        assert all(not np.array_equal(a[[1, 3]], b[[1, 3]]) for a, b in zip(before, after, strict=True))


def test_tf24s_nadam_moves_all_moments_but_only_rows_of_the_variable():
    of = variables(Nadam(conventions=TF24), shapes=[(5, 3)])
    of.step([row_gradient([0, 1, 2, 3, 4])])
    before, moments = of.copies()[0], of.slots["momentum/v0"].copy()
    of.step([row_gradient([1])])
    assert np.array_equal(before[[0, 2, 3, 4]], of.arrays[0][[0, 2, 3, 4]])
    assert not np.array_equal(before[1], of.arrays[0][1])
    assert (moments != of.slots["momentum/v0"]).all()


def test_norms_count_the_parts_of_rows():
    gradient = RowGradient(np.array([0, 0]), np.array([[3.0], [4.0]]), (1, 1))
    (clipped,) = clipped_by_norm([gradient], [FLOAT64], 1.0)
    np.testing.assert_allclose(dense(clipped), [[7 / 5]])


def _gather_backward(dtype, gradient, saved, needed):
    return (RowGradient(saved[0], gradient, saved[1]),)


GATHER = Op("gather", lambda dtype, table, rows: (table[rows], (rows, table.shape)), _gather_backward, on_grid=True)


@pytest.mark.parametrize("dtype", [FLOAT32, BFLOAT16], ids=lambda dtype: dtype.name)
def test_the_tape_keeps_rows_up_to_variables(dtype):
    table = round_to(np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3), dtype)
    for reads, is_rows in ((1, True), (2, True)):
        tape = Tape()
        leaf = tape.leaf(table, dtype)
        found = [apply(GATHER, leaf, rows=np.array([1, 1, 4])) for _ in range(reads)]
        target = found[0]
        for other in found[1:]:
            target = apply(ADD, target, other)
        (gradient,) = tape.gradient_or_rows(target, [leaf])
        assert isinstance(gradient, RowGradient) == is_rows
        np.testing.assert_array_equal(dense(gradient)[:, 0], np.array([0, 2, 0, 0, 1]) * reads)


ADD = Op("add", lambda dtype, a, b: (a + b, None), lambda dtype, gradient, saved, needed: (gradient, gradient))


def test_a_table_that_is_also_read_whole_has_a_dense_gradient():
    tape = Tape()
    leaf = tape.leaf(np.ones((3, 3), np.float32), FLOAT32)
    target = apply(ADD, leaf, apply(GATHER, leaf, rows=np.array([0, 0, 2])))
    (gradient,) = tape.gradient_or_rows(target, [leaf])
    assert isinstance(gradient, np.ndarray)
    np.testing.assert_array_equal(gradient[:, 0], [3, 1, 2])
