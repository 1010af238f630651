import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import dtypes, scaler, scaler_rules
from engine.errors import InvalidType, InvalidValue
from engine.scaler import UNSCALED, ScalerRule, ScalerState, update

TF_RULES = st.builds(scaler_rules.tf24, st.floats(1, 2.0**60), st.integers(1, 5), st.sampled_from([1.5, 2.0, 3.0, 4.0]))
STEPS = st.lists(st.booleans(), max_size=40)


def states(rule: ScalerRule, steps: list[bool]) -> list[ScalerState]:
    found = [rule.initial()]
    for finite in steps:
        state, applied = update(rule, found[-1], finite)
        assert applied == finite
        found.append(state)
    return found


@given(TF_RULES, STEPS)
def test_tf_scales_stay_finite_float32_and_at_least_1(rule, steps):
    for state in states(rule, steps):
        assert state.loss_scale >= 1
        assert math.isfinite(state.loss_scale)
        assert float(np.float32(state.loss_scale)) == state.loss_scale
        assert 0 <= state.counter < rule.growth_interval


@given(TF_RULES, STEPS)
def test_scales_never_shrink_on_finite_steps_nor_grow_on_others(rule, steps):
    trajectory = states(rule, steps)
    for before, after, finite in zip(trajectory[:-1], trajectory[1:], steps, strict=True):
        assert (after.loss_scale >= before.loss_scale) if finite else (after.loss_scale <= before.loss_scale)


@given(st.integers(1, 6), STEPS)
def test_grows_exactly_after_an_interval_of_finite_steps_in_a_row(interval, steps):
    trajectory = states(scaler_rules.tf24(2.0**10, interval), steps)
    run = 0
    for before, after, finite in zip(trajectory[:-1], trajectory[1:], steps, strict=True):
        run = run + 1 if finite else 0
        assert (after.loss_scale > before.loss_scale) == (run == interval)
        run %= interval


@given(TF_RULES, STEPS, st.integers(0, 40))
def test_a_run_split_anywhere_goes_on_alike(rule, steps, at):
    whole = states(rule, steps)
    state = whole[min(at, len(steps))]
    resumed = ScalerState(**vars(state))
    for finite, expected in zip(steps[at:], whole[at + 1 :], strict=False):
        resumed, _ = update(rule, resumed, finite)
        assert resumed == expected


def test_the_null_rule_does_nothing():
    state = UNSCALED.initial()
    assert state == ScalerState(1.0)
    assert update(UNSCALED, state, finite=False) == (state, True)


def test_keras3_has_neither_floor_nor_guard_and_never_grows_past_its_count():
    rule = scaler_rules.keras3(1.0, 1)
    assert update(rule, ScalerState(1.0), finite=False)[0].loss_scale == 0.5
    assert update(rule, ScalerState(2.0**127), finite=True)[0].loss_scale == math.inf
    assert update(rule, ScalerState(2.0, counter=5), finite=True)[0] == ScalerState(2.0, counter=6)
    assert not rule.skip_advances_iterations


@pytest.mark.parametrize("name", scaler_rules.RULES)
def test_every_rule_starts_from_its_own_defaults(name):
    make = scaler_rules.RULES[name]
    rule = make(2.0) if name == "fixed" else make()
    state = rule.initial()
    assert state.loss_scale == rule.initial_scale
    assert update(rule, state, finite=True)[1]


def test_gradients_must_be_floats():
    scaler.check_gradient_dtype(dtypes.BFLOAT16)
    with pytest.raises(InvalidType, match="int32 is not in the list of allowed values") as caught:
        scaler.check_gradient_dtype(dtypes.INT32)
    assert caught.value.original == "InvalidArgumentError"


def test_a_fixed_scale_must_fit_into_float32():
    assert scaler_rules.fixed(math.inf).initial_scale == math.inf
    with pytest.raises(InvalidValue, match="fit into float32"):
        scaler_rules.fixed(1e39)
