"""The bad input that the issue lists, over HTTP: each a 4xx problem with a pointer and a message that helps."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.app.serving import JOBS, serving
from tests.worker.specs.jobs import D1, D2, changed

LONG_INTEGER = '{"seed": ' + "9" * 5000 + "}"
ROWS = [[0.5] * 64] * 4
LOW = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": 0.5}}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(tmp_path_factory.mktemp("bad-input")) as served:
        yield served.http


def refused(http: httpx.Client, content: str) -> tuple[int, dict[str, Any]]:
    response = http.post(JOBS, content=content, headers={"Content-Type": "application/json"})
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert body["status"] == response.status_code
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["request_id"] == response.headers["x-request-id"]
    assert http.get(JOBS).json()["data"] == []
    return response.status_code, body


@pytest.mark.parametrize(
    ("changes", "code", "pointer", "words"),
    [
        ({f"{D1}/class_name": "Denso"}, "unknown_layer", f"{D1}/class_name", 'Did you mean "Dense"?'),
        ({f"{D1}/config/units": -4}, "invalid_value", f"{D1}/config/units", "expected a positive integer, got -4"),
        ({f"{D1}/config/batch_input_shape": [None, 32]}, "shape_mismatch", "/data/dataset", "(batch, 32)"),
        ({f"{D2}/config/units": 5}, "label_out_of_range", "/data/dataset", "integers from 0 to 4"),
        ({"/data": {"x": [[float("nan")] * 64, *ROWS[1:]], "y": [0, 1, 2, 3]}}, "data_invalid", "/data/x/0/0", "NaN"),
        ({"/policy": "mixed_float17"}, "unknown_policy", "/policy", "mixed_float17"),
        ({"/policy": LOW}, "invalid_value", "/policy/config/loss_scale", "at least 1"),
        ({"/data": {"x": [], "y": []}}, "empty_data", "/data/x", "at least one sample"),
        ({f"{D1}/config/units": 10**12}, "resource_limit", D1, "75,000,000,000,010 parameters"),
    ],
)
def test_a_bad_job_is_refused_with_a_pointer(http, changes, code, pointer, words):
    status, body = refused(http, json.dumps(changed(changes)))
    assert status == 422
    assert (body["errors"][0]["code"], body["errors"][0]["pointer"]) == (code, pointer)
    assert words in body["errors"][0]["message"]
    assert body["errors"][0]["type"] == "ValueError"


@pytest.mark.parametrize(
    "content",
    ["", "{", "no json", '{"seed": 1,}', "[" * 100_000, LONG_INTEGER, '{"suffix": "\\ud800"}', "\0", "{}x"],
)
def test_a_body_that_cannot_be_read_is_a_4xx(http, content):
    status, body = refused(http, content)
    assert status in {400, 422}
    assert body["detail"]


@pytest.mark.parametrize("content", ["null", "[]", "3", '"job"', "{}", "true"])
def test_json_that_is_no_job_is_refused(http, content):
    status, body = refused(http, content)
    assert status == 422
    assert all(error["message"] for error in body["errors"])
