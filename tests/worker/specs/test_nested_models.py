"""Models in models, as jobs."""

import json
from typing import Any

import pytest

from tests.worker.specs.jobs import D2, changed, prepared
from worker.settings import Limits
from worker.specs.errors import SpecError
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import InspectRequest
from worker.specs.job import JobSpec

ENTRY = {"class_name": "InputLayer", "config": {"name": "pixels", "batch_input_shape": [None, 64]}}
HEAD = {"class_name": "Dense", "config": {"name": "digit", "units": 10, "activation": "softmax", "dtype": "float32"}}
ADDED = {
    "module": "keras.src.ops.nn",
    "class_name": "Softmax",
    "config": {"name": "soft"},
    "registered_name": "Softmax",
}
INSIDE = f"{D2}/config/layers/0"


def dense(units: Any = 8, name: str = "hidden") -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"name": name, "units": units}}


def stack(*layers: dict[str, Any], name: str = "encoder", **config: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers), **config}}


def job(inner: dict[str, Any]) -> dict[str, Any]:
    return {"/model": stack(ENTRY, inner, HEAD, name="outer"), "/policy": "mixed_float16"}


def nested(depth: int) -> dict[str, Any]:
    inside = dense()
    for _ in range(depth):
        inside = stack(inside)
    return inside


def test_a_model_in_a_model_trains():
    result = prepared(job(stack(dense(), {"class_name": "BatchNormalization", "config": {"name": "n"}})))
    assert (result.summary.layers, result.summary.parameters) == (4, 64 * 8 + 8 + 32 + 90)
    state, losses = result.trainer.initial_state(), []
    while not result.trainer.finished(state):
        state, record = result.trainer.advance(state)
        losses.append(record.loss if hasattr(record, "loss") else losses[-1])
    assert losses[-1] < losses[0]
    assert "encoder/hidden/kernel" in state.variables


def test_sixteen_models_deep():
    assert prepared(job(nested(16))).summary.layers == 3


@pytest.mark.parametrize(
    ("inner", "code", "pointer"),
    [
        (nested(17), "too_deep", D2 + "/config/layers/0" * 16),
        (stack(dense(0)), "invalid_value", f"{INSIDE}/config/units"),
        (stack(dense(10**9)), "resource_limit", INSIDE),
        (stack(dense() | {"config": {"units": 3, "name": "x", "dtype": "int32"}}), "policy_not_trainable", None),
        (ADDED, "unsupported_operation", f"{D2}/class_name"),
        (stack(*[dense(2, f"d{i}") for i in range(Limits().max_layers)]), "resource_limit", "/model/config/layers"),
    ],
)
def test_faults_inside_are_pointed_at(inner, code, pointer):
    with pytest.raises(SpecError) as caught:
        prepared(job(inner))
    error = caught.value.errors[0]
    assert (error.code, error.pointer) == (code, pointer or f"{INSIDE}/config/dtype")


def test_a_frozen_model_is_not_trained():
    summary = prepared(job(stack(dense(), trainable=False))).summary
    assert (summary.parameters, summary.trainable_parameters) == (64 * 8 + 8 + 90, 90)


def test_inspection_lists_the_layers_inside_with_their_places():
    request = InspectRequest.model_validate(
        {"model": job(stack(dense()))["/model"], "policy": "mixed_float16", "compile": changed({})["compile"]}
    )
    found = inspect_model(request, Limits())
    assert [layer.name for layer in found.layers] == ["pixels", "encoder/hidden", "digit"]
    assert found.layers[1].compute_dtype == "float16"


def test_the_published_schema_does_not_unroll_models_in_models():
    schema = JobSpec.model_json_schema()
    inner = schema["$defs"]["NestedSequentialConfig"]["properties"]["layers"]
    assert inner["items"] == {"type": "object"}
    assert "16 deep" in inner["description"]
    assert len(json.dumps(schema)) < 2**20
