"""Inspections: any job can be inspected as it is, faults are pointed at, figures are those of the engine."""

import json
from typing import Any

import pytest

from tests.worker.specs.jobs import JOB, LIMITS, changed, prepared
from worker.settings import Limits
from worker.specs.errors import SpecError
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import Inspection, InspectRequest

MAP = {
    "module": "keras.dtype_policies",
    "class_name": "DTypePolicyMap",
    "config": {
        "default_policy": "mixed_float16",
        "policy_map": {"small/d1": {"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}},
    },
}
D1 = "/model/config/layers/0/config"


def inspected(changes: dict[str, Any] | None = None, limits: Limits = LIMITS) -> Inspection:
    return inspect_model(InspectRequest.model_validate(changed(changes or {})), limits)


def faults(changes: dict[str, Any], limits: Limits = LIMITS) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        inspected(changes, limits)
    return [(fault.code, fault.pointer) for fault in caught.value.errors]


def test_a_job_is_inspected_as_it_is_trained() -> None:
    answer, job = inspected(), prepared()
    assert answer.parameters == job.summary.parameters
    assert answer.loss_scaling.loss_scale == job.summary.loss_scale
    assert answer.memory.batch_size == job.summary.batch_size
    assert [(row.name, row.compute_dtype) for row in answer.layers] == [
        (layer.name, layer.policy.compute_dtype) for layer in job.model.layers
    ]
    assert (answer.lint, answer.warnings, answer.dialect) == ((), (), "tf2.4")


def test_the_model_alone_will_do() -> None:
    answer = inspect_model(InspectRequest.model_validate({"model": JOB["model"]}), LIMITS)
    assert (answer.memory.policy, answer.memory.optimizer, answer.memory.slots) == ("float32", None, 0)
    assert (answer.loss_scaling.kind, answer.loss_scaling.loss_dtype) == ("none", "float32")


def test_data_tell_the_shape_where_the_model_does_not() -> None:
    bare = {f"{D1}/batch_input_shape": ...}
    assert inspected(bare).layers[0].output_shape == (None, 64)
    assert faults({**bare, "/data": ...}) == [("missing_shape", f"{D1}/batch_input_shape")]


def test_memory_is_at_hand_for_the_own_policy_and_for_all() -> None:
    memory = inspected().memory
    own = memory.policies[memory.policy].model_dump()
    assert own == {key: getattr(memory, key) for key in own}
    assert set(memory.policies) == {"float32", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16"}


def test_findings_point_at_their_layer() -> None:
    (first, *_) = inspected({"/model/config/layers/1/config/dtype": ..., "/policy": "mixed_float16"}).lint
    assert (first.layer, first.pointer) == ("d2", "/model/config/layers/1")


def test_policies_that_no_job_takes_can_be_inspected() -> None:
    scaled = inspected({"/policy": MAP})
    assert [row.compute_dtype for row in scaled.layers] == ["float32", "bfloat16", "float32"]
    assert (scaled.memory.policy, scaled.loss_scaling.scaled) == ("map_mixed_float16", False)
    float8 = inspected({"/policy": "float8_from_mixed_float16"})
    assert float8.loss_scaling.decided_by == "name_not_recognised"
    assert [found.evidence["reason"] for found in float8.lint] == ["name_not_recognised"]


def test_an_infinite_scale_is_null_and_named() -> None:
    scale = {"class_name": "FixedLossScale", "config": {"loss_scale_value": 2.0**17}}
    changes = {"/model/config/layers/1/config/dtype": ..., "/policy/config/loss_scale": scale}
    answer = inspected(changes)
    assert (answer.loss_scaling.loss_scale_as_cast, answer.loss_scaling.overflows) == (None, True)
    assert answer.lint[0].evidence["as_cast"] == "inf"
    json.dumps(answer.model_dump(mode="json"), allow_nan=False)


def test_what_keras_logs_of_the_policy_is_said_once_by_the_linter() -> None:
    answer = inspected({"/policy/config/name": "float32"})
    assert [(found.code, found.pointer) for found in answer.lint] == [("scaling_without_effect", "/policy")]
    assert answer.warnings == ()


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"/policy": "mixed_float17"}, "unknown_policy", "/policy"),
        ({"/policy": "int32"}, "policy_not_trainable", "/policy"),
        ({"/policy": "int8_from_mixed_float16"}, "quantization_mode", "/policy"),
        ({"/policy": 3}, "not_serialized", "/policy"),
        (
            {"/policy": {**MAP, "config": {"policy_map": {"small/.*": MAP["config"]["policy_map"], "small/d1": 3}}}},  # type: ignore[index]
            "not_a_policy",
            "/policy/config/policy_map/small~1.*",
        ),
        ({"/policy": {**MAP, "config": {"policy_map": "d1"}}}, "not_a_dict", "/policy/config/policy_map"),
        ({f"{D1}/dtype": "int32"}, "policy_not_trainable", f"{D1}/dtype"),
        ({f"{D1}/units": 0}, "invalid_value", f"{D1}/units"),
        ({f"{D1}/units": 2**50}, "resource_limit", "/model"),
        ({"/compile/optimizer/config/epsilon": -1}, "invalid_value", "/compile/optimizer/config/epsilon"),
        ({"/fit/batch_size": 0}, "invalid_value", "/fit/batch_size"),
        (
            {"/policy/config/loss_scale": {"class_name": "FixedLossScale", "config": {"loss_scale_value": 1e39}}},
            "loss_scale_overflow",
            "/policy/config/loss_scale",
        ),
        (
            {"/policy/config/loss_scale/config/increment_period": 0},
            "loss_scale_out_of_range",
            "/policy/config/loss_scale",
        ),
        (
            {"/policy/config/loss_scale/config/multiplier": 4.0},
            "multiplier",
            "/policy/config/loss_scale",
        ),
    ],
)
def test_faults_are_pointed_at(changes: dict[str, Any], code: str, pointer: str) -> None:
    assert faults(changes) == [(code, pointer)]


def test_two_keys_of_a_map_for_one_layer_are_refused() -> None:
    entry = {"class_name": "DTypePolicy", "config": {"name": "float32"}}
    config = {"default_policy": "float32", "policy_map": {"small/d.": entry, "small/.1": entry}}
    assert faults({"/policy": {**MAP, "config": config}}) == [("ambiguous_path", "/policy/config/policy_map")]


def test_limits_on_training_do_not_hold_for_a_look() -> None:
    small = Limits(max_parameters=1, max_steps=1, max_epochs=1)
    assert inspected(limits=small).parameters == 2410
    assert faults({}, Limits(max_layers=1)) == [("resource_limit", "/model/config/layers")]
