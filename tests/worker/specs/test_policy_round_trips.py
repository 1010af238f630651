"""Written for a line of Keras and read there again, a policy or an optimizer has lost nothing that is not listed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine import precision_setups as setups
from worker.specs.dialects import DIALECTS
from worker.specs.optimizer_forms import (
    OptimizerDeserializeRequest,
    OptimizerSerializeRequest,
    deserialize_optimizer,
    serialize_optimizer,
)
from worker.specs.policies import deserialize_policy, serialize_policy, validate_policy
from worker.specs.policy_shapes import PolicyDeserializeRequest, PolicySerializeRequest, PolicyValidateRequest

PAIRS = [(source, target) for source in DIALECTS for target in DIALECTS]
UNNAMED = setups.MAPS.map(lambda config: {**config, "config": {**config["config"], "default_policy": None}})
POLICIES: dict[str, Any] = {
    "tf2.3": setups.TF23_POLICIES,
    "tf2.4": setups.TF24_POLICIES,
    "tf_keras": setups.KERAS2_NAMES,
    "keras3": setups.KERAS3_NAMES | setups.QUANTIZED | setups.MAPS | UNNAMED,
}
OPTIMIZERS: dict[str, Any] = {
    "tf2.3": setups.TF23_WRAPPERS | setups.TF24_OPTIMIZERS,
    "tf2.4": setups.TF24_WRAPPERS | setups.TF24_OPTIMIZERS,
    "tf_keras": setups.TF24_WRAPPERS,
    "keras3": setups.KERAS3_WRAPPERS | setups.KERAS3_OPTIMIZERS | setups.KERAS3_FIXED,
}


def lost_of(policy: Any, again: Any) -> set[str]:
    """What a policy no longer says. The class has a name of its own in every line, and a map shows its entries."""
    facts = ("compute_dtype", "variable_dtype", "quantization_mode", "loss_scale")
    lost = {fact for fact in facts if getattr(policy, fact) not in (None, getattr(again, fact))}
    entries = policy.config.get("policy_map", {})
    return lost | ({"policy_map"} if entries and entries != again.config.get("policy_map") else set())


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_a_policy_loses_is_listed(source, target, data):
    given_policy = data.draw(POLICIES[source])
    before = validate_policy(PolicyValidateRequest(policy=given_policy, dialect=source)).policy
    assert before is not None
    written = serialize_policy(PolicySerializeRequest(policy=given_policy, dialect=source, to=target))
    read = deserialize_policy(PolicyDeserializeRequest(config=written.serialized, dialect=target))
    said = [*written.dropped, *read.dropped, *(notice.message for notice in written.warnings)]
    for fact in lost_of(before, read.policy):
        # A plain policy by the name of "mixed_float16" is scaled where policies have no loss scale.
        implied = fact == "loss_scale" and read.policy.name == before.name == "mixed_float16"
        assert said or implied, fact
    if lost_of(before, read.policy) - {"loss_scale"}:
        assert written.dropped or "approximate" in {notice.code for notice in written.warnings}


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_an_optimizer_loses_is_listed(source, target, data):
    config = data.draw(OPTIMIZERS[source])
    before = deserialize_optimizer(OptimizerDeserializeRequest(config=config, dialect=source)).optimizer
    written = serialize_optimizer(OptimizerSerializeRequest(optimizer=config, dialect=source, to=target))
    read = deserialize_optimizer(
        OptimizerDeserializeRequest(config=written.serialized.model_dump(), dialect=target)
    ).optimizer
    if read.loss_scale == before.loss_scale:
        return
    said = {notice.message.split("`")[1] for notice in written.warnings}
    assert said & {"scaling", "initial_scale", "growth_interval", "growth_factor"}


def test_the_names_that_keras_3_takes_off_a_map_are_listed():
    entry = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "float32"}}
    policy = {"class_name": "DTypePolicyMap", "config": {"default_policy": None, "policy_map": {"a": entry}}}
    written = serialize_policy(PolicySerializeRequest(policy=policy, dialect="keras3"))
    assert written.dropped == ("policy.config.policy_map.a.config.source_name",)
    assert [notice.code for notice in written.warnings] == ["names_stripped"]


def test_a_dict_that_the_original_changes_is_shown_as_it_leaves_it():
    inner = {"class_name": "SGD", "config": {"lr": 0.5}}
    wrapper = {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": inner}}
    answer = deserialize_optimizer(OptimizerDeserializeRequest(config=wrapper))
    left = {"class_name": "sgd", "config": {"learning_rate": 0.5}}
    assert answer.left == {"class_name": "lossscaleoptimizer", "config": {"inner_optimizer": left}}
    assert [notice.code for notice in answer.warnings] == ["input_changed"]
    assert inner["config"] == {"lr": 0.5}
    later = {
        **wrapper,
        "config": {"inner_optimizer": {"module": "keras.optimizers", "class_name": "SGD", "config": {}}},
    }
    answer = deserialize_optimizer(OptimizerDeserializeRequest(config=later, dialect="keras3"))
    assert answer.left == {"class_name": "lossscaleoptimizer", "config": {}}
