import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.conventions import KERAS3, TF24, TF_KERAS
from engine.errors import EngineError, InvalidType, InvalidValue
from engine.loss_scale import DynamicLossScale, FixedLossScale
from engine.optimizers import SGD, Adam
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer, LossScaleOptimizerV1
from engine.optimizers.wrapping import wrap, wrap_for_policy
from engine.policy import Policy, PolicyV1
from engine.serialization.tf24_optimizers import compiled, deserialize_optimizer, get_optimizer

SCALES = st.floats(1, 2.0**100)
INNER = st.sampled_from([SGD(), SGD(learning_rate=0.5, momentum=0.9), Adam(), Adam(amsgrad=False)])


def refusal(read, value) -> str | None:
    """Why a value was refused, None if it was not; errors that are not ours pass through."""
    try:
        read(value)
    except EngineError as error:
        return error.message
    return None


OPTIMIZERS = st.one_of(
    st.builds(LossScaleOptimizer, INNER),
    st.builds(LossScaleOptimizer, INNER, st.just(True), SCALES, st.integers(1, 10**6)),
    st.builds(LossScaleOptimizer, INNER, st.just(False), SCALES),
)


@given(OPTIMIZERS)
def test_config_makes_the_same_optimizer(optimizer):
    config = json.loads(json.dumps(optimizer.get_config()))
    before = json.dumps(config)
    assert LossScaleOptimizer.from_config(config, deserialize_optimizer) == optimizer
    assert deserialize_optimizer({"class_name": "LossScaleOptimizer", "config": config}) == optimizer
    again = LossScaleOptimizerV1.from_config(config, deserialize_optimizer)
    assert (again.rule, again.inner_optimizer) == (optimizer.rule, optimizer.inner_optimizer)
    assert json.dumps(config) == before


@given(INNER, st.builds(FixedLossScale, SCALES) | st.builds(DynamicLossScale, SCALES, st.integers(1, 9)))
def test_a_loss_scale_and_the_optimizer_made_of_it_follow_one_rule(inner, scale):
    assert LossScaleOptimizerV1(inner, scale).rule == scale.rule
    form23 = {
        "optimizer": {"class_name": inner.class_name, "config": inner.get_config()},
        "loss_scale": {"class_name": type(scale).__name__, "config": scale.get_config()},
    }
    assert LossScaleOptimizer.from_config(form23, deserialize_optimizer).rule == scale.rule


@pytest.mark.parametrize(
    ("line", "floor", "unscale"), [(TF24, 1.0, "reciprocal"), (TF_KERAS, 1.0, "reciprocal"), (KERAS3, None, "divide")]
)
def test_the_rule_is_that_of_the_line_of_keras(line, floor, unscale):
    rule = LossScaleOptimizer(SGD(conventions=line), initial_scale=8.0, dynamic_growth_steps=3).rule
    assert (rule.initial_scale, rule.growth_interval, rule.floor, rule.unscale) == (8.0, 3, floor, unscale)


@pytest.mark.parametrize(
    ("policy", "scale"),
    [
        (Policy("mixed_float16"), 2.0**15),
        (PolicyV1("mixed_float16"), 2.0**15),
        (PolicyV1("mixed_float16", 8), 8.0),
        (PolicyV1("float32", 8), 8.0),
        (PolicyV1("mixed_float16", None), 1.0),
        (Policy("float16"), 1.0),
        (Policy("mixed_bfloat16"), 1.0),
        (Policy("float32"), 1.0),
    ],
    ids=repr,
)
def test_compile_wraps_as_the_models_policy_asks_for(policy, scale):
    optimizer = SGD()
    wrapped = wrap_for_policy(optimizer, policy)
    assert wrapped.rule.initial().loss_scale == scale
    assert wrapped.inner_optimizer == optimizer
    assert wrap_for_policy(wrapped, PolicyV1("mixed_float16", 4)) is wrapped or scale == 1.0


def test_keras3_wraps_by_name_alone_and_only_if_asked_to():
    optimizer = SGD(conventions=KERAS3, loss_scale_factor=4.0)
    wrapped = wrap(optimizer, Policy("mixed_float16"), KERAS3)
    assert isinstance(wrapped, LossScaleOptimizer)
    assert wrapped.inner_optimizer.loss_scale_factor is None
    assert wrap(optimizer, Policy("float16"), KERAS3) is optimizer
    assert wrap(optimizer, Policy("mixed_float16"), KERAS3, auto_scale_loss=False) is optimizer


def test_a_multiplier_other_than_2_is_found_when_compiling():
    with pytest.raises(InvalidValue, match="multiplier must be 2"):
        wrap_for_policy(SGD(), PolicyV1("mixed_float16", DynamicLossScale(multiplier=4)))


@pytest.mark.parametrize("outer", [LossScaleOptimizer, lambda inner: LossScaleOptimizerV1(inner, 2)])
def test_nesting_is_refused_by_name(outer):
    with pytest.raises(InvalidType, match="already wrapped by a LossScaleOptimizer"):
        outer(LossScaleOptimizer(SGD()))


def test_where_a_fault_lies():
    config = {
        "class_name": "LossScaleOptimizer",
        "config": {
            "optimizer": {"class_name": "SGD", "config": {"nope": 1}},
            "loss_scale": {"class_name": "FixedLossScale", "config": {"loss_scale_value": 2}},
        },
    }
    with pytest.raises(InvalidType, match="Unexpected keyword argument passed to optimizer: nope") as caught:
        deserialize_optimizer(config)
    assert caught.value.path == ("config", "optimizer", "config", "nope")


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.sampled_from(["SGD", "adam", "x", "LossScaleOptimizer"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["class_name", "config", "inner_optimizer", "optimizer", "loss_scale", "dynamic"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=10,
    )
)
@example({"class_name": "SGD", "config": []})
@example({"class_name": "LossScaleOptimizer", "config": []})
@example(
    {"class_name": "LossScaleOptimizer", "config": {"optimizer": {"class_name": "SGD", "config": []}, "dynamic": True}}
)
def test_reading_anything_is_an_optimizer_or_an_error_of_ours(value):
    for read in (get_optimizer, lambda value: compiled(value, Policy("mixed_float16"))):
        assert refusal(read, value) != ""
