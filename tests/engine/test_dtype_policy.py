import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.dtype_policy import (
    DTYPE_NAMES,
    MIXED,
    AWQDTypePolicy,
    DTypePolicy,
    FloatDTypePolicy,
    GPTQDTypePolicy,
    Int4DTypePolicy,
    QuantizedDTypePolicy,
    QuantizedFloat8DTypePolicy,
    by_name,
)
from engine.dtype_policy_map import DTypePolicyMap
from engine.errors import EngineError, InvalidValue
from engine.serialization import keras3, tf_keras
from engine.serialization.tf_keras import TfKerasPolicy

NAMES = st.sampled_from([*DTYPE_NAMES, *MIXED])
SIZES = st.sampled_from([-1, 1, 32, 128])
POLICIES = st.one_of(
    st.builds(DTypePolicy, NAMES),
    st.builds(FloatDTypePolicy, NAMES),
    st.builds(QuantizedDTypePolicy, st.sampled_from(["float8", "int4", "gptq", "awq"]), NAMES),
    st.builds(QuantizedFloat8DTypePolicy, st.just("float8"), NAMES, st.integers(0, 10**6)),
    st.builds(Int4DTypePolicy, SIZES.map("int4/{}".format), NAMES),
    st.builds(GPTQDTypePolicy, SIZES.map("gptq/4/{}".format), NAMES),
    st.builds(AWQDTypePolicy, SIZES.map("awq/4/{}".format), NAMES),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["class_name", "config", "module", "name", "mode", "policy_map", "default_policy"]),
            inner | st.sampled_from(["DTypePolicy", "DTypePolicyMap", "Int4DTypePolicy", "Policy", "int4/3"]),
            max_size=4,
        )
    ),
    max_leaves=8,
)


def refusal(read, value) -> str | None:
    """Why a value was refused, None if it was not; errors that are not ours pass through."""
    try:
        read(value)
    except EngineError as error:
        return error.message
    return None


@given(POLICIES)
def test_what_is_written_reads_as_the_same_policy(policy):
    written = json.loads(json.dumps(keras3.serialize_policy(policy)))
    read = keras3.deserialize_policy(written)
    assert read.value == policy
    assert hash(read.value) == hash(policy)
    assert read.dropped == ()
    assert type(read.value) is type(policy)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5})?", fullmatch=True), POLICIES, max_size=4), POLICIES)
def test_a_map_reads_as_the_same_map(entries, default):
    policies = DTypePolicyMap(DTypePolicy("mixed_float16"), entries)
    read = keras3.deserialize_policy(json.loads(json.dumps(keras3.serialize_policy(policies)))).value
    assert isinstance(read, DTypePolicyMap)
    assert dict(read.entries) == entries
    assert all(read.policy_of(path) == policy for path, policy in entries.items())
    assert read.policy_of("nowhere/at/all") == DTypePolicy("mixed_float16")


@given(st.sampled_from([*tf_keras.DTYPE_NAMES, "mixed_float16", "mixed_bfloat16", "_infer"]))
def test_tf_keras_reads_what_it_writes(name):
    written = json.loads(json.dumps(tf_keras.serialize_policy(TfKerasPolicy(name))))
    read = tf_keras.deserialize_policy(written)
    assert read.value == TfKerasPolicy(name)
    assert read.dropped == ()


@given(ANYTHING)
def test_reading_anything_is_a_policy_or_an_error_of_ours(value):
    readers = (
        keras3.get_policy,
        keras3.deserialize_policy,
        keras3.set_policy,
        tf_keras.deserialize_policy,
        lambda given: tf_keras.get_policy(given, TfKerasPolicy("float32")),
    )
    for read in readers:
        assert refusal(read, value) != ""


def test_plain_policies_are_equal_by_name_whatever_their_class():
    assert DTypePolicy("float32") == FloatDTypePolicy("float32")
    assert DTypePolicy("int") != DTypePolicy("int64")
    assert by_name("float8_from_float32") != QuantizedDTypePolicy("float8", "float32")


def test_policies_are_frozen():
    with pytest.raises(AttributeError, match="frozen"):
        DTypePolicy("float32").name = "float16"


def test_a_key_that_is_no_pattern_is_named():
    with pytest.raises(InvalidValue, match="unterminated") as caught:
        DTypePolicyMap().having("(", DTypePolicy("float16")).policy_of("a")
    assert caught.value.original == "re.error"


def test_maps_refuse_a_key_twice_and_dropping_one_that_is_not_there():
    policies = DTypePolicyMap().having("a", DTypePolicy("float16"))
    with pytest.raises(InvalidValue, match="duplicated"):
        policies.having("a", DTypePolicy("float32"))
    with pytest.raises(InvalidValue, match="no key 'b'"):
        policies.without("b")
    assert policies.without("a").entries == {}
