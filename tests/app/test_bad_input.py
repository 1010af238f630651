"""What people send by mistake: each a 422 that points at the place and says what to do; nothing is queued."""

import copy
from typing import Any

import httpx
import pytest

from tests.app.serving import JOBS, JSON, SPEC, Served

ROWS = {"x": [[0.0] * 64, [1.0] * 64], "y": [0, 9]}


def with_(place: str, value: Any) -> dict[str, Any]:
    """The good job with `value` at the place."""
    spec: Any = copy.deepcopy({**SPEC, "data": ROWS, "fit": {"batch_size": 2}})
    *path, last = (int(part) if part.isdigit() else part for part in place.split("/")[1:])
    here = spec
    for part in path:
        here = here[part]
    here[last] = value
    return spec


DENSE = "/model/config/layers/1/config"
FAULTS = {
    "unknown layer": ("/model/config/layers/1/class_name", "Dens", "unknown_layer", "Dense"),
    "negative units": (f"{DENSE}/units", -3, None, "-3"),
    "zero units": (f"{DENSE}/units", 0, None, "0"),
    "units that are text": (f"{DENSE}/units", "ten", "invalid_type", "integer"),
    "unknown key": (f"{DENSE}/unit", 3, "unknown_key", "units"),
    "unknown activation": (f"{DENSE}/activation", "softmix", None, "softmix"),
    "unknown policy": ("/policy", "mixed_float17", None, "mixed_float17"),
    "unknown loss": ("/compile/loss", "crossentropy", None, "crossentropy"),
    "unknown optimizer": ("/compile/optimizer", "sgdd", None, "sgdd"),
    "unknown metric": ("/compile/metrics/0", "acc_uracy", None, "acc_uracy"),
    "unknown data set": ("/data", {"dataset": "mnist"}, None, "digits"),
    "no such upload": ("/data", {"file": "file-1"}, "file_not_found", "GET /v1/files"),
    "rows too narrow": ("/data/x", [[0.0] * 63, [0.0] * 63], None, "64"),
    "ragged rows": ("/data/x", [[0.0] * 64, [0.0] * 63], None, ""),
    "label out of range": ("/data/y", [0, 10], None, "10"),
    "negative label": ("/data/y", [0, -1], None, "-1"),
    "more labels than rows": ("/data/y", [0, 1, 2], None, "3"),
    "no rows": ("/data", {"x": [], "y": []}, None, ""),
    "null in the data": ("/data/x", [[0.0] * 64, [None] * 64], None, ""),
    "batch of none": ("/fit/batch_size", 0, None, "0"),
    "seed too large": ("/seed", 2**31, "out_of_range", "2147483647"),
    "long suffix": ("/suffix", "x" * 65, "too_long", "64"),
    "metadata of numbers": ("/metadata", {"a": 1}, "invalid_type", "string"),
}


def refused(response: httpx.Response) -> list[dict[str, str]]:
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    errors: list[dict[str, str]] = response.json()["errors"]
    assert errors
    return errors


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_pointed_at(served: Served, fault: str):
    place, value, code, said = FAULTS[fault]
    (error, *_) = refused(served.http.post(JOBS, json=with_(place, value)))
    assert error["pointer"].startswith(place.rsplit("/", 1)[0] if fault == "unknown layer" else place)
    assert said in error["message"]
    assert code in {None, error["code"]}
    assert len(error["message"]) > 20
    assert served.http.get(JOBS).json()["data"] == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_data_that_is_not_finite_is_pointed_at(served: Served, number: str):
    row = ",".join(["0"] * 63)
    body = f"[[{row},0],[{row},{number}]]"
    content = served.http.build_request("POST", JOBS, json=with_("/data/x", "ROWS")).content.decode()
    errors = refused(served.http.post(JOBS, content=content.replace('"ROWS"', body), headers=JSON))
    assert errors[0]["pointer"].startswith("/data/x")


@pytest.mark.parametrize("scale", [0.5, 0, -1])
def test_a_loss_scale_below_one_is_pointed_at(served: Served, scale: float):
    fixed = {"class_name": "FixedLossScale", "config": {"loss_scale_value": scale}}
    policy = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": fixed}}
    (error, *_) = refused(served.http.post(JOBS, json=with_("/policy", policy)))
    assert error["pointer"].startswith("/policy/config/loss_scale")


def test_a_model_of_a_million_million_parameters_is_refused_at_once(served: Served):
    errors = refused(served.http.post(JOBS, json=with_(f"{DENSE}/units", 10**12 // 65)))
    assert any("parameters" in error["message"] or "units" in error["message"] for error in errors)
    assert errors[0]["pointer"].startswith("/model")


def test_more_rows_than_are_accepted_inline_are_refused(served: Served):
    spec = with_("/data", {"x": [[0.0]] * 20_001, "y": [0] * 20_001})
    assert refused(served.http.post(JOBS, json=spec))[0]["pointer"].startswith("/data")
