"""Every refusal is a problem document that says what was received and what to do."""

import logging
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError

from app.errors import TRANSLATIONS, problem_of
from app.problems import Problem
from app.settings import AppSettings
from engine.errors import ShapeMismatch
from tests.app.serving import JOBS, JSON, SPEC, Served, serving

MEMBERS = {"type", "title", "status", "detail", "errors", "request_id", "error"}


def check_problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) >= MEMBERS
    assert body["status"] == status
    assert body["error"]["code"] == code
    assert body["request_id"] == response.headers["x-request-id"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body


def test_an_unknown_route_is_a_404(served: Served):
    check_problem(served.http.get("/v1/nothing"), 404, "route_not_found")


def test_a_wrong_method_is_a_405_that_says_which_are_right(served: Served):
    response = served.http.put("/v1/queue")
    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET"
    assert served.http.patch(f"{JOBS}/job-1").headers["allow"] == "DELETE, GET"
    assert served.http.post("/docs").headers["allow"] == "GET"


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 5000, b'{"a": "\\ud800"}', b"nonsense"])
def test_a_body_that_is_not_json_is_a_400(served: Served, body):
    problem = check_problem(served.http.post(JOBS, content=body, headers=JSON), 400, "body_not_json")
    assert "not JSON" in problem["detail"]


def test_no_body_is_a_400_that_says_so(served: Served):
    check_problem(served.http.post(JOBS), 400, "body_missing")
    check_problem(served.http.post(JOBS, headers=JSON), 400, "body_missing")


def test_a_body_of_another_media_type_is_a_415(served: Served):
    check_problem(
        served.http.post(JOBS, content=b"{}", headers={"Content-Type": "text/plain"}), 415, "unsupported_media_type"
    )


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/keras+json"])
def test_json_by_other_names_is_read(served: Served, kind):
    check_problem(served.http.post(JOBS, content=b"{", headers={"Content-Type": kind}), 400, "body_not_json")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/policies/validate", 413),
        ("/v1/loss-scales/simulate", 413),
        ("/v1/optimizers/serialize", 413),
        ("/v1/translate", 413),
        ("/v1/models/inspect", 413),
        ("/v1/training/jobs", 422),
    ],
)
def test_bodies_that_need_no_job_have_a_limit_of_their_own(tmp_path: Path, path: str, status: int):
    with serving(tmp_path, AppSettings(max_stateless_bytes=1024)) as served:
        assert served.http.post(path, json={"x": "x" * 1024}).status_code == status


def test_a_body_above_the_limit_is_a_413(tmp_path: Path):
    with serving(tmp_path, AppSettings(max_body_bytes=2048)) as served:
        response = served.http.post(JOBS, json={**SPEC, "metadata": {"long": "x" * 4096}})
    check_problem(response, 413, "body_too_large")


def test_a_body_that_is_no_object_points_at_the_whole(served: Served):
    problem = check_problem(served.http.post(JOBS, json=[1]), 422, "invalid_type")
    assert problem["errors"][0]["pointer"] == ""
    assert problem["error"]["param"] is None


def test_each_fault_has_its_pointer_and_openai_param(served: Served):
    wrong = {**SPEC, "seed": -1, "fit": {"epochs": "two"}, "nonsense": 1}
    problem = check_problem(served.http.post(JOBS, json=wrong), 422, "invalid_request")
    assert {error["pointer"] for error in problem["errors"]} == {"/seed", "/fit/epochs", "/nonsense"}
    assert all(set(error) == {"code", "type", "message", "pointer"} for error in problem["errors"])
    assert problem["error"]["param"] in {"seed", "fit.epochs", "nonsense"}
    assert "(and 2 more in errors)" in problem["detail"]


def test_parameters_are_named_in_the_message(served: Served):
    problem = check_problem(served.http.get(JOBS, params={"limit": 0}), 422, "invalid_parameter")
    assert "query parameter 'limit'" in problem["detail"]


def test_an_unknown_job_is_a_404_whatever_its_name(served: Served):
    for name in ("job-0123456789", "nonsense", "job-%00", "job-" + "x" * 500):
        check_problem(served.http.get(f"{JOBS}/{name}"), 404, "not_found")


def test_the_callers_request_id_comes_back(served: Served):
    assert served.http.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("bad", ["x" * 200, "two words", "<script>"])
def test_a_request_id_that_could_do_harm_is_replaced(served: Served, bad):
    assert served.http.get("/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"].startswith("req-")


def raise_secret() -> None:
    raise RuntimeError("the secret password")


def test_an_unhandled_error_is_a_500_that_leaks_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    def change(app: FastAPI) -> None:
        app.add_api_route("/broken", raise_secret)

    with caplog.at_level(logging.ERROR), serving(tmp_path, change=change) as served:
        response = served.http.get("/broken")
    problem = check_problem(response, 500, "internal")
    assert "secret" not in response.text
    assert problem["error"]["type"] == "server_error"
    assert problem["request_id"] in caplog.text
    assert "secret" in caplog.text


def test_the_nearest_class_of_the_mro_decides():
    class Special(ShapeMismatch):
        pass

    problem = problem_of(Special("too wide", path=("layers", 3)))
    assert (problem.status, problem.code) == (422, "shape_mismatch")
    assert problem_of(KeyError("x")).status == 500
    assert Exception in TRANSLATIONS


def test_a_store_that_is_away_is_a_503_without_its_address():
    problem = problem_of(OperationalError("SELECT 1", {}, Exception("could not connect to db.internal")))
    assert problem.status == 503
    assert "internal" not in problem.detail
    assert problem.headers["Retry-After"] == "1"


def test_params_are_pointers_in_openais_spelling():
    assert Problem(422, "c", "d").body("r")["error"]["param"] is None
