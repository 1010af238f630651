import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import scaler_rules
from engine.errors import ScaleExhausted
from engine.scaler import ScalerRule, ScalerState, update
from tests.engine import published_scalers
from tests.engine.published_scalers import STOPPED, Trajectory

STEPS = st.lists(st.booleans(), max_size=60) | st.lists(st.sampled_from([True, True, True, False]), max_size=60)
POWERS = st.integers(0, 40).map(lambda exponent: 2.0**exponent)
WINDOWS = st.integers(1, 6)
HYSTERESES = st.integers(1, 4)
FACTORS = st.sampled_from([1.1, 1.5, 2.0, 3.0, 10.0])


def ours(rule: ScalerRule, finite: list[bool]) -> Trajectory:
    state = rule.initial()
    scales: Trajectory = []
    for good in finite:
        try:
            state, applied = update(rule, state, good)
        except ScaleExhausted:
            return [*scales, STOPPED]
        assert applied == good
        scales.append(state.loss_scale)
    return scales


def same(left: Trajectory, right: Trajectory) -> bool:
    return list(map(str, left)) == list(map(str, right))


@given(STEPS, POWERS, WINDOWS, HYSTERESES, st.booleans())
def test_deepspeed_zero(finite, init, window, hysteresis, consecutive):
    rule = scaler_rules.deepspeed_zero(init, window, 1.0, hysteresis, consecutive_hysteresis=consecutive)
    expected = published_scalers.deepspeed_zero(finite, init, window, 1.0, hysteresis, consecutive=consecutive)
    assert same(ours(rule, finite), expected)


@given(STEPS, POWERS, WINDOWS)
def test_deepspeed_fused(finite, init, window):
    rule = scaler_rules.deepspeed_fused(init, window)
    assert same(ours(rule, finite), published_scalers.deepspeed_fused(finite, init, window, 1.0))


@given(STEPS, POWERS, WINDOWS, HYSTERESES)
def test_megatron(finite, init, window, hysteresis):
    rule = scaler_rules.megatron(init, growth_interval=window, hysteresis=hysteresis)
    assert same(ours(rule, finite), published_scalers.megatron(finite, init, window, 1.0, hysteresis))


@given(STEPS, POWERS, FACTORS, WINDOWS, st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, 1.0]))
def test_fairseq(finite, init, factor, window, tolerance):
    rule = scaler_rules.fairseq(init, factor, window, tolerance)
    assert same(ours(rule, finite), published_scalers.fairseq(finite, init, factor, window, tolerance, 1e-4))


@given(STEPS, POWERS, WINDOWS, FACTORS, st.sampled_from([0.25, 1.0]))
def test_jmp(finite, init, period, factor, floor):
    rule = scaler_rules.jmp(init, period, factor, floor)
    assert same(ours(rule, finite), published_scalers.jmp(finite, init, period, factor, floor))


@given(STEPS, st.integers(0, 24).map(lambda exponent: 2.0**exponent), WINDOWS, st.sampled_from([None, 1.0]))
def test_apex(finite, init, window, floor):
    rule = scaler_rules.apex(init, window, floor)
    assert same(ours(rule, finite), published_scalers.apex(finite, init, window, floor, 2.0**24))


@given(STEPS, st.floats(1e-3, 1e38), FACTORS, st.sampled_from([0.1, 0.5, 0.9]), WINDOWS)
def test_torch(finite, init, growth, backoff, interval):
    rule = scaler_rules.torch(init, growth, backoff, interval)
    assert same(ours(rule, finite), published_scalers.torch(finite, init, growth, backoff, interval))


def test_torch_as_recorded():
    recorded = json.loads((Path(__file__).parent / "data" / "torch_grad_scaler.json").read_text(encoding="utf-8"))
    assert len(recorded["runs"]) == 193
    for run in recorded["runs"]:
        rule = scaler_rules.torch(**run["settings"])
        state = rule.initial()
        for step, scale, tracker in zip(run["finite"], run["scale"], run["growth_tracker"], strict=True):
            state, _ = update(rule, state, step == "1")
            assert (state.loss_scale, state.counter) == (scale, tracker), run


@pytest.mark.parametrize(
    ("rule", "end"),
    [
        (scaler_rules.tf24(16, 3), 16.0),
        (scaler_rules.fairseq(16, scale_window=3), 16.0),
        (scaler_rules.deepspeed_zero(16, 3), 64.0),
        (scaler_rules.megatron(16, growth_interval=3), 64.0),
    ],
    ids=["tf2.4", "fairseq", "deepspeed_zero", "megatron"],
)
def test_the_same_settings_end_elsewhere(rule, end):
    finite = [True] * 7 + [False] * 3 + [True] * 4 + [False] + [True] * 4
    assert ours(rule, finite)[-1] == end


def test_fairseq_threshold_holds_instead_of_stopping():
    assert ours(scaler_rules.fairseq(4.0, threshold=1.0), [False] * 4) == [2.0, 1.0, 1.0, 1.0]
    assert math.isnan(ours(scaler_rules.fairseq(1.0, min_loss_scale=0.3), [False] * 4)[-1])


def test_what_a_rule_that_stops_says():
    with pytest.raises(ScaleExhausted, match=r"The loss scale is 1.0 and cannot shrink below 1.0") as caught:
        update(scaler_rules.deepspeed_zero(1.0, hysteresis=1), ScalerState(1.0), finite=False)
    assert caught.value.code == "loss_scale_underflow"


@given(STEPS, st.sampled_from(sorted(set(scaler_rules.RULES) - {"fixed"})), st.integers(0, 60))
def test_every_state_checkpoints_whole(finite, name, at):
    rule = scaler_rules.RULES[name]()
    state, resumed = rule.initial(), rule.initial()
    for index, good in enumerate(finite):
        resumed = ScalerState(**vars(resumed)) if index == at else resumed
        state, resumed = update(rule, state, good)[0], update(rule, resumed, good)[0]
        assert resumed == state
