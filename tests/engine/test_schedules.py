"""Learning rate schedules: their shapes, their configs, and what they refuse."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conventions import KERAS3, TF24
from engine.errors import EngineError
from engine.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
    Schedule,
    deserialize,
    read_rate,
    write_rate,
)

STEPS = st.integers(0, 10**7)
RATES = st.floats(1e-6, 10)
PERIODS = st.integers(1, 10**5)
EVERY = [
    CosineDecay(0.1, 10),
    CosineDecay(0.1, 10, warmup_target=0.5, warmup_steps=5),
    CosineDecayRestarts(0.1, 10),
    ExponentialDecay(0.1, 10, 0.5),
    InverseTimeDecay(0.1, 10, 0.5, staircase=True),
    PiecewiseConstantDecay((3, 7.5), (0.1, 0.01, 0.001)),
    PolynomialDecay(0.1, 10, cycle=True),
]


@given(st.sampled_from(EVERY), STEPS)
def test_every_rate_is_a_finite_float32_number(schedule, step):
    rate = schedule(step)
    assert rate == float(np.float32(rate))
    assert 0 <= rate <= 0.5


@given(RATES, PERIODS, st.floats(0, 1))
def test_cosine_ends_at_alpha_and_stays(initial, period, alpha):
    schedule = CosineDecay(initial, period, alpha)
    assert schedule(0) == pytest.approx(initial, rel=1e-6)
    assert schedule(period) == schedule(period + 1) == pytest.approx(alpha * initial, rel=1e-5, abs=1e-7)


@given(RATES, PERIODS, RATES, PERIODS)
def test_warmup_is_a_line_to_the_target(initial, period, target, warmup):
    schedule = CosineDecay(initial, period, warmup_target=target, warmup_steps=warmup)
    assert schedule(0) == pytest.approx(initial, rel=1e-6)
    assert schedule(warmup) == pytest.approx(target, rel=1e-6)
    share = (warmup // 2) / warmup
    assert schedule(warmup // 2) == pytest.approx(initial + share * (target - initial), rel=1e-5, abs=1e-7)


@given(st.integers(2, 1000), st.integers(0, 20))
def test_equal_restarts_come_back_to_the_start(period, count):
    schedule = CosineDecayRestarts(1.0, period, t_mul=1.0)
    assert schedule(count * period + period // 2) == pytest.approx(schedule(period // 2), abs=1e-4)


def test_restarts_grow_longer_and_lower():
    schedule = CosineDecayRestarts(1.0, 10, t_mul=2.0, m_mul=0.5)
    found = [schedule(step) for step in (0, 9, 11, 29, 31)]
    assert found == pytest.approx([1.0, 0.0245, 0.497, 0.0031, 0.2498], abs=1e-3)


@given(RATES, PERIODS, st.floats(0.01, 1), STEPS)
def test_exponential_and_inverse_time(initial, period, decay, step):
    found = ExponentialDecay(initial, period, decay)(step), InverseTimeDecay(initial, period, decay)(step)
    exact = initial * decay ** (step / period), initial / (1 + decay * step / period)
    # A float32 base and a float32 exponent are each off by one part in 2**24, which the power multiplies.
    slack = 1e-6 + 2e-7 * (step / period) * (1 + abs(math.log(decay)))
    assert found[0] == pytest.approx(exact[0], rel=math.expm1(min(slack, 5.0)), abs=1e-30)
    assert found[1] == pytest.approx(exact[1], rel=1e-6, abs=1e-30)
    stairs = ExponentialDecay(initial, period, decay, staircase=True)
    assert stairs(step) == stairs(step // period * period)


@given(RATES, PERIODS, st.floats(0, 1), STEPS)
def test_polynomial_ends_and_cycles(initial, period, end, step):
    assert PolynomialDecay(initial, period, end)(period + step) == pytest.approx(end, rel=1e-5, abs=1e-6)
    cycled = PolynomialDecay(initial, period, end, cycle=True)(step)
    low, high = sorted((initial, end))
    assert low * (1 - 1e-4) - 1e-6 <= cycled <= high * (1 + 1e-4) + 1e-6


def test_pieces_hold_up_to_and_including_their_boundary():
    schedule = PiecewiseConstantDecay((3, 7.5), (0.1, 0.01, 0.001))
    assert [schedule(step) for step in (0, 3, 4, 7, 8)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    # An integer step truncates a boundary, a float one does not.
    assert schedule(8) != schedule(np.float32(7.25)) == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
@pytest.mark.parametrize("line", [TF24, KERAS3], ids=lambda line: line.name)
def test_a_config_makes_the_same_schedule(schedule, line):
    written = json.loads(json.dumps(write_rate(schedule, line)))
    again = read_rate("learning_rate", written)
    assert write_rate(again, line) == written
    assert isinstance(again, Schedule)
    assert [again(step) for step in range(20)] == [schedule(step) for step in range(20)]
    assert (written["config"]["name"] is None) != line.keras3


@pytest.mark.parametrize(
    ("name", "config", "path"),
    [
        ("CosineDecays", {}, ()),
        ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 0}, ("config", "decay_steps")),
        ("CosineDecay", {"decay_steps": 5}, ("config", "initial_learning_rate")),
        ("ExponentialDecay", {"initial_learning_rate": "x", "decay_steps": 5, "decay_rate": 1}, None),
        ("PiecewiseConstantDecay", {"boundaries": [1], "values": [0.1]}, ("config", "values")),
        ("PiecewiseConstantDecay", {"boundaries": [2, 1], "values": [1, 2, 3]}, ("config", "boundaries")),
        ("PiecewiseConstantDecay", {"boundaries": "12", "values": [1, 2, 3]}, ("config", "boundaries")),
        ("PiecewiseConstantDecay", {"boundaries": [True], "values": [1, 2]}, ("config", "boundaries")),
    ],
)
def test_bad_schedules_say_where(name, config, path):
    with pytest.raises(EngineError) as caught:
        deserialize({"class_name": name, "config": config})
    assert caught.value.path == (("config", "initial_learning_rate") if path is None else path)


def test_a_number_is_a_rate_and_nothing_else_is():
    assert read_rate("learning_rate", 0.5) == write_rate(0.5, KERAS3) == 0.5
    for bad in (-1.0, "fast", None, True):
        with pytest.raises(EngineError):
            read_rate("learning_rate", bad)
