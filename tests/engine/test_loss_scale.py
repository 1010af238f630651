import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import loss_scale
from engine.errors import EngineError, InvalidValue
from engine.loss_scale import DynamicLossScale, FixedLossScale
from engine.scaler import ScalerState, update

FLOATS = st.floats(allow_nan=False)
FIXED = st.builds(FixedLossScale, st.floats(1, allow_nan=False) | st.integers(1, 10**30))
DYNAMIC = st.builds(DynamicLossScale, FLOATS, st.integers(), FLOATS)


@given(FIXED | DYNAMIC)
def test_round_trips(scale):
    written = json.loads(json.dumps(loss_scale.serialize(scale)))
    assert loss_scale.deserialize(written) == scale
    assert loss_scale.get(written) == scale
    assert loss_scale.get(scale) is scale
    assert scale is not None
    assert type(scale).from_config(scale.get_config()) == scale


@given(st.floats(allow_nan=False) | st.integers(-(10**20), 10**20) | st.booleans())
def test_numbers_are_fixed_scales_from_1_on(number):
    if number >= 1:
        assert loss_scale.get(number) == FixedLossScale(float(number))
        return
    with pytest.raises(InvalidValue, match="at least 1") as caught:
        loss_scale.get(number)
    assert caught.value.path == ("loss_scale_value",)


@given(st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers()))
def test_anything_else_is_refused_with_what_was_received(identifier):
    if identifier == "dynamic":
        assert loss_scale.get(identifier) == DynamicLossScale()
        return
    with pytest.raises(EngineError) as caught:
        loss_scale.get(identifier)
    assert str(identifier) in caught.value.message


@given(FIXED, st.lists(st.booleans(), max_size=10))
def test_a_fixed_scale_never_moves_and_never_skips(scale, finite):
    if scale.loss_scale_value > 3.4028235677973366e38:
        return
    state = scale.rule.initial()
    for step in finite:
        assert update(scale.rule, state, step) == (state, True)


def test_a_fixed_scale_beyond_float32_can_be_written_but_not_used():
    scale = FixedLossScale(1e39)
    assert scale.get_config() == {"loss_scale_value": 1e39}
    with pytest.raises(InvalidValue, match="fit into float32") as caught:
        scale.rule  # noqa: B018
    assert caught.value.path == ("loss_scale_value",)


def test_describe_shows_the_state_of_dynamic_scales_only():
    text = loss_scale.describe(DynamicLossScale(8, 1, 2), ScalerState(16777216.0, 3))
    assert text.startswith("DynamicLossScale(current_loss_scale=16777216.0, num_good_steps=3, initial_loss_scale=8.0,")
    assert loss_scale.describe(FixedLossScale(2), ScalerState(2.0)) == "FixedLossScale(2.0)"
    assert loss_scale.describe(None, ScalerState(1.0)) == "None"


@pytest.mark.parametrize(
    ("arguments", "error", "key"),
    [
        ({"initial_loss_scale": "x"}, ValueError, "initial_loss_scale"),
        ({"multiplier": []}, TypeError, "multiplier"),
        ({"increment_period": "3.0"}, ValueError, "increment_period"),
        ({"increment_period": float("inf")}, ValueError, "increment_period"),
        ({"increment_period": None}, TypeError, "increment_period"),
        ({"initial_loss_scale": 10**400}, ValueError, "initial_loss_scale"),
    ],
)
def test_arguments_that_do_not_convert(arguments, error, key):
    with pytest.raises(error) as caught:
        DynamicLossScale(**arguments)
    assert isinstance(caught.value, EngineError)
    assert caught.value.path == (key,)
