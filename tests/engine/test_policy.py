import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dtypes import BFLOAT16, FLOAT16, FLOAT32
from engine.errors import EngineError, InvalidType, InvalidValue
from engine.global_policy import FLOATX, GlobalPolicy
from engine.loss_scale import DynamicLossScale, FixedLossScale
from engine.policy import DTYPE_NAMES, MIXED, Policy, PolicyV1
from engine.serialization import tf24

NAMES = st.sampled_from([*DTYPE_NAMES, *MIXED])
FLOATS = st.floats(1, 2.0**127)
LOSS_SCALES = st.one_of(
    st.none(),
    st.just("dynamic"),
    FLOATS,
    st.integers(1, 2**40),
    st.builds(FixedLossScale, FLOATS),
    st.builds(DynamicLossScale, FLOATS, st.integers(1, 10**6), st.floats(1.1, 100)),
)
POLICIES = st.one_of(st.builds(Policy, NAMES), st.builds(PolicyV1, NAMES), st.builds(PolicyV1, NAMES, LOSS_SCALES))


def policy_or_error(read, value) -> Policy | EngineError:
    try:
        policy: Policy = read(value).value
    except EngineError as error:
        return error
    return policy


def test_26_names_and_their_references():
    assert len(DTYPE_NAMES) == 52
    assert not any("float8" in name for name in DTYPE_NAMES)


@given(POLICIES)
def test_config_makes_the_same_policy(policy):
    config = json.loads(json.dumps(policy.get_config()))
    assert type(policy).from_config(config) == policy
    assert hash(type(policy).from_config(config)) == hash(policy)


@given(POLICIES)
def test_own_reader_loses_nothing(policy):
    read = tf24.read_policy(json.loads(json.dumps(tf24.serialize_policy(policy))))
    if tf24.serialize_policy(policy) is None:  # "_infer" is written as null, which a user means as the default
        assert read.value == Policy("float32")
    else:
        assert read.value == policy
        assert read.dropped == ()


@given(POLICIES)
def test_reading_as_tf_lists_all_that_it_drops(policy):
    read = tf24.deserialize_policy(json.loads(json.dumps(tf24.serialize_policy(policy))))
    assert type(read.value) is Policy
    assert read.value == Policy(policy.name)
    assert ("class" in read.dropped) == isinstance(policy, PolicyV1)
    assert ("config.loss_scale" in read.dropped) == ("loss_scale" in policy.get_config())


@given(POLICIES)
def test_reading_does_not_change_its_input(policy):
    config = tf24.serialize_policy(policy)
    before = json.dumps(config)
    tf24.deserialize_policy(config)
    tf24.read_policy(config)
    assert json.dumps(config) == before


@given(NAMES, LOSS_SCALES)
def test_warns_exactly_where_a_loss_scale_is_of_no_use(name, scale):
    policy = PolicyV1(name, scale)
    useless = scale is not None and policy.compute_dtype not in {None, "float16"}
    assert len(policy.warnings) == useless
    assert all(f"for policy {name}." in text for text in policy.warnings)


@given(st.text())
def test_any_other_name_is_refused_by_both_classes(name):
    if name in DTYPE_NAMES or name in MIXED:
        assert Policy(name).name == name
        return
    for cls in (Policy, PolicyV1):
        with pytest.raises(InvalidValue) as caught:
            cls(name)
        assert name in caught.value.message
        assert caught.value.path == ("name",)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["class_name", "config", "name", "loss_scale", "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_reading_anything_is_a_policy_or_an_error_of_ours(value):
    for read in (tf24.read_policy, tf24.deserialize_policy):
        assert isinstance(policy_or_error(read, value), Policy | EngineError)


def test_dtypes_of_mixed_policies():
    assert (Policy("mixed_float16").compute, Policy("mixed_float16").variable) == (FLOAT16, FLOAT32)
    assert (Policy("mixed_bfloat16").compute, Policy("mixed_bfloat16").variable) == (BFLOAT16, FLOAT32)
    assert Policy("half_ref").compute == FLOAT16
    with pytest.raises(InvalidValue, match="_infer"):
        Policy("_infer").compute  # noqa: B018


def test_policies_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy("float32").name = "float16"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        PolicyV1("float32").loss_scale = None  # type: ignore[misc]


def test_a_dtype_is_no_name():
    with pytest.raises(InvalidType, match=r"Instead, pass DType.name. Got: float32"):
        Policy(FLOAT32)  # type: ignore[arg-type]


def test_path_of_a_fault_deep_in_a_policy():
    config = {
        "class_name": "PolicyV1",
        "config": {
            "name": "mixed_float16",
            "loss_scale": {"class_name": "FixedLossScale", "config": {"loss_scale_value": 0.5}},
        },
    }
    with pytest.raises(InvalidValue, match="at least 1") as caught:
        tf24.read_policy(config)
    assert caught.value.path == ("config", "loss_scale", "config", "loss_scale_value")


@given(st.lists(st.sampled_from([*DTYPE_NAMES, *MIXED, None]), max_size=5), st.sampled_from(FLOATX))
def test_global_policy_is_what_was_set_last_or_floatx(names, floatx):
    state = GlobalPolicy().set_floatx(floatx)
    expected = floatx
    for name in names:
        if name in MIXED or name is None or Policy(name).compute.is_floating:
            state, expected = state.set_policy(name), name or floatx
            continue
        with pytest.raises(InvalidValue, match="floating-point policies"):
            state.set_policy(name)
    assert state.current.name == expected
