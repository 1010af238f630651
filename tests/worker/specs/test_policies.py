import json
from pathlib import Path

import pytest

from worker.specs.errors import SpecError
from worker.specs.loss_scales import (
    LossScaleDeserializeRequest,
    LossScaleSerializeRequest,
    LossScaleValidateRequest,
    deserialize_loss_scale,
    serialize_loss_scale,
    validate_loss_scale,
)
from worker.specs.policies import deserialize_policy, serialize_policy, validate_policy
from worker.specs.policy_list import list_policies
from worker.specs.policy_shapes import (
    PolicyDeserializeRequest,
    PolicyReport,
    PolicySerializeRequest,
    PolicyValidateRequest,
)

CASES = Path(__file__).parents[2] / "golden" / "cases"


def cases(group: str, op: str) -> list:
    found = [case for file in CASES.glob(f"{group}_*.json") for case in json.loads(file.read_text())]
    # What exists only in Python cannot arrive in JSON.
    return [case for case in found if case["op"] == op and "__py__" not in json.dumps(case["input"])]


def request_of(given: dict, **more) -> dict:
    scale = {"loss_scale": given["loss_scale"]} if "loss_scale" in given else {}
    return {"policy": given["name"], "class_name": given["class"], **scale, **more}


def assert_refused_as(errors, expected: dict) -> None:
    assert [error.type for error in errors] == [expected["error"]]
    if not expected.get("runtime_message"):
        assert errors[0].message == expected["message"]


def assert_shape(policy, expected: dict) -> None:
    assert (policy.class_name, policy.name) == (expected["class"], expected["name"])
    assert (policy.compute_dtype, policy.variable_dtype) == (expected["compute_dtype"], expected["variable_dtype"])
    assert policy.config == expected["get_config"]
    assert (policy.loss_scale and policy.loss_scale.model_dump()) == expected["loss_scale"]


def texts(notices) -> list:
    return [notice.message for notice in notices if notice.code == "loss_scale_not_useful"]


def test_validation_says_what_tf_says_of_every_policy():
    found = [case for case in cases("g1", "policy_construct") if "name" in case["input"]]
    for case in found:
        report = validate_policy(PolicyValidateRequest.model_validate(request_of(case["input"])))
        assert report.valid is case["expected"]["ok"], case
        assert texts(report.warnings) == case["expected"]["warnings"], case
        if report.policy is None:
            assert_refused_as(report.errors, case["expected"])
        else:
            assert_shape(report.policy, case["expected"])
    assert len(found) > 100


def test_serialization_is_that_of_tf():
    found = cases("g2", "policy_serialize")
    for case in found:
        answer = serialize_policy(PolicySerializeRequest.model_validate(request_of(case["input"])))
        assert answer.serialized == case["expected"]["serialized"], case
    assert found


def test_deserialization_drops_what_tf_drops():
    found = cases("g2", "policy_deserialize")
    for case in found:
        expected = case["expected"]
        request = PolicyDeserializeRequest.model_validate(case["input"])
        if expected["ok"]:
            answer = deserialize_policy(request)
            assert_shape(answer.policy, expected)
            assert list(answer.dropped) == expected["dropped"]
        else:
            with pytest.raises(SpecError) as caught:
                deserialize_policy(request)
            assert_refused_as(caught.value.errors, expected)
    assert found


def test_loss_scales_are_read_as_tf_reads_them():
    found = cases("g3", "loss_scale_get")
    for case in found:
        report = validate_loss_scale(LossScaleValidateRequest(loss_scale=case["input"]["identifier"]))
        assert report.valid is case["expected"]["ok"], case
        if report.valid:
            shown = report.loss_scale and report.loss_scale.model_dump()
            assert shown == (case["expected"]["serialized"] if case["expected"]["result"] else None), case
        else:
            assert_refused_as(report.errors, case["expected"])
    assert found


def test_loss_scales_are_deserialized_as_tf_does():
    found = cases("g3", "loss_scale_deserialize")
    for case in found:
        request = LossScaleDeserializeRequest(config=case["input"]["config"])
        if case["expected"]["ok"]:
            shown = deserialize_loss_scale(request).loss_scale
            assert (shown and shown.model_dump()) == (case["expected"].get("serialized")), case
        else:
            with pytest.raises(SpecError) as caught:
                deserialize_loss_scale(request)
            assert_refused_as(caught.value.errors, case["expected"])
    assert found


def test_a_loss_scale_is_serialized():
    answer = serialize_loss_scale(LossScaleSerializeRequest(loss_scale=8))
    assert answer.model_dump()["serialized"] == {"class_name": "FixedLossScale", "config": {"loss_scale_value": 8.0}}
    with pytest.raises(SpecError) as caught:
        serialize_loss_scale(LossScaleSerializeRequest(loss_scale={"class_name": "Fixed", "config": {}}))
    assert caught.value.errors[0].pointer == "/loss_scale"


def report_of(**request) -> PolicyReport:
    return validate_policy(PolicyValidateRequest.model_validate(request))


def test_a_name_with_a_loss_scale_becomes_a_policy_v1():
    policy = report_of(policy="mixed_float16", loss_scale=8).policy
    assert policy is not None
    assert policy.class_name == "PolicyV1"
    assert policy.config["loss_scale"] == {"class_name": "FixedLossScale", "config": {"loss_scale_value": 8.0}}


def test_null_is_the_default_policy_unless_a_class_is_called_with_it():
    policy = report_of(policy=None).policy
    assert policy is not None
    assert policy.name == "float32"
    assert [error.pointer for error in report_of(policy=None, class_name="Policy").errors] == ["/policy"]


LOW = {"class_name": "FixedLossScale", "config": {"loss_scale_value": 0}}
LOW_V1 = {"class_name": "PolicyV1", "config": {"name": "float16", "loss_scale": 0.5}}


@pytest.mark.parametrize(
    ("request_body", "pointer"),
    [
        ({"policy": "mixed_float17"}, "/policy"),
        ({"policy": LOW_V1}, "/policy/config/loss_scale"),
        ({"policy": "float16", "loss_scale": 0.5}, "/loss_scale"),
        ({"policy": "float16", "loss_scale": LOW}, "/loss_scale/config/loss_scale_value"),
        ({"policy": {"class_name": "NoPolicy", "config": {}}}, "/policy"),
        ({"policy": [1]}, "/policy"),
        ({"policy": "float32", "class_name": "Policy", "loss_scale": 1}, "/loss_scale"),
    ],
)  # fmt: skip
def test_faults_point_into_the_request(request_body, pointer):
    report = report_of(**request_body)
    assert not report.valid
    assert [error.pointer for error in report.errors] == [pointer]


def test_a_replaced_loss_scale_is_reported():
    own = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": None}}
    report = report_of(policy=own, loss_scale=4)
    assert report.policy is not None
    assert report.policy.config["loss_scale"]["config"] == {"loss_scale_value": 4.0}
    assert [notice.code for notice in report.warnings] == ["dropped"]


def test_every_policy_and_dtype_is_listed():
    listed = list_policies()
    by_name = {policy.name: policy for policy in listed.data}
    assert by_name["mixed_float16"].default_loss_scale is not None
    assert by_name["mixed_bfloat16"].default_loss_scale is None
    assert {"float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"} <= {dtype.name for dtype in listed.dtypes}
    half = next(dtype for dtype in listed.dtypes if dtype.name == "float16")
    assert (half.max, half.min_normal, half.min_subnormal) == (65504.0, 2.0**-14, 2.0**-24)
