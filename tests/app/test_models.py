"""Inspection over HTTP."""

from tests.app.serving import SPEC, Served

INSPECT = "/v1/models/inspect"
FIGURES = {"weights", "weight_copies", "slots", "gradients", "activations", "total"}


def test_a_job_can_be_sent_to_be_inspected(served: Served):
    response = served.http.post(INSPECT, json=SPEC)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert [row["class_name"] for row in answer["layers"]] == ["InputLayer", "Dense"]
    assert answer["layers"][1] == {
        "name": "dense",
        "class_name": "Dense",
        "policy": "mixed_float16",
        "input_dtype": "float32",
        "input_dtypes": ["float32"],
        "entered_dtypes": ["float16"],
        "compute_dtype": "float16",
        "variable_dtype": "float32",
        "output_dtype": "float16",
        "output_shape": [None, 10],
        "parameters": 650,
        "trainable_parameters": 650,
        "calls": 1,
    }
    assert answer["loss_scaling"]["scaled"] is True
    assert answer["memory"]["policies"]["float32"].keys() == FIGURES
    codes = {finding["code"] for finding in answer["lint"]}
    assert codes == {"loss_low_precision", "loss_scale_overflows_loss_dtype", "softmax_low_precision"}
    assert served.http.get("/v1/training/jobs").json()["data"] == []


def test_a_model_of_more_parameters_than_any_job_may_have(served: Served):
    layer = {"class_name": "Dense", "config": {"units": 10**9, "batch_input_shape": [None, 1000]}}
    model = {"class_name": "Sequential", "config": {"layers": [layer]}}
    answer = served.http.post(INSPECT, json={"model": model, "policy": "mixed_bfloat16"}).json()
    assert answer["parameters"] == 1001 * 10**9
    assert answer["memory"]["weights"] == 4004 * 10**9


def test_infinity_is_never_bare(served: Served):
    policy = {"class_name": "PolicyV1", "config": {"name": "float16", "loss_scale": 2.0**17}}
    response = served.http.post(INSPECT, json={**SPEC, "policy": policy})
    assert response.json()["loss_scaling"]["overflows"] is True
    assert "Infinity" not in response.text


def test_layers_that_need_no_config_may_leave_it_out(served: Served):
    entry = {"class_name": "InputLayer", "config": {"batch_shape": [None, 3], "name": "entry"}}
    stack = [entry, {"class_name": "Identity"}, {"class_name": "Normalization"}]
    model = {"class_name": "Sequential", "config": {"layers": stack}}
    named = {"default_policy": "mixed_float16", "policy_map": {}}
    for policy in ("mixed_float16", {"class_name": "DTypePolicyMap", "config": named}):
        response = served.http.post(INSPECT, json={"model": model, "policy": policy})
        assert response.status_code == 200, response.text
        assert [row["class_name"] for row in response.json()["layers"]] == ["InputLayer", "Identity", "Normalization"]


def test_faults_have_their_place(served: Served):
    response = served.http.post(INSPECT, json={**SPEC, "policy": "mixed_float17", "seed": -1})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["/seed"]
    response = served.http.post(INSPECT, json={**SPEC, "policy": "mixed_float17"})
    assert [error["pointer"] for error in response.json()["errors"]] == ["/policy"]
    response = served.http.post(INSPECT, json={"policy": "float32"})
    assert [error["pointer"] for error in response.json()["errors"]] == ["/model"]
    for wrong in ({"compile": {"optimizer": "adamm", "loss": "mse"}}, {"data": {"datset": "digits"}}, {"data": 3}):
        response = served.http.post(INSPECT, json={**SPEC, **wrong})
        assert response.status_code == 422, response.text
        (key,) = wrong
        assert response.json()["errors"][0]["pointer"].startswith(f"/{key}")
    assert served.http.post(INSPECT, json={**SPEC, "data": None, "compile": None}).status_code == 200
