"""Policies, loss scales, data sets, health, and the page that shows the API."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from app.main import create_app
from app.openapi import methods_at
from app.settings import AppSettings
from tests.app.serving import JSON, Served, serving
from worker.queue import CONSUMER_KEY

PREFIXES = ("/v1/policies", "/v1/loss-scales")


def test_policies_are_listed_with_their_dtypes(served: Served):
    answer = served.http.get("/v1/policies").json()
    mixed = next(entry for entry in answer["data"] if entry["name"] == "mixed_float16")
    assert (mixed["compute_dtype"], mixed["variable_dtype"]) == ("float16", "float32")
    half = next(entry for entry in answer["dtypes"] if entry["name"] == "float16")
    assert (half["max"], half["min_subnormal"]) == (65504.0, 2.0**-24)


def test_a_policy_that_is_none_is_still_a_valid_report(served: Served):
    answer = served.http.post("/v1/policies/validate", json={"policy": "mixed_float17"})
    assert (answer.status_code, answer.json()["valid"]) == (200, False)
    assert answer.json()["errors"][0]["pointer"] == "/policy"


def test_deserialize_drops_the_loss_scale_as_tf_does_and_says_so(served: Served):
    config = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": None}}
    answer = served.http.post("/v1/policies/deserialize", json={"config": config}).json()
    assert answer["policy"]["class_name"] == "Policy"
    assert answer["dropped"]


def test_serialize_refuses_what_is_no_policy(served: Served):
    response = served.http.post("/v1/policies/serialize", json={"policy": "nonsense"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["type"] == "ValueError"


def test_loss_scales_go_there_and_back(served: Served):
    said = served.http.post("/v1/loss-scales/serialize", json={"loss_scale": "dynamic"}).json()["serialized"]
    assert said["class_name"] == "DynamicLossScale"
    assert served.http.post("/v1/loss-scales/deserialize", json={"config": said}).json()["loss_scale"] == said
    assert served.http.post("/v1/loss-scales/validate", json={"loss_scale": 0.5}).json()["valid"] is False


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "-1"])
def test_no_answer_has_a_bare_nan(served: Served, prefix, value):
    key = "policy" if prefix == PREFIXES[0] else "loss_scale"
    response = served.http.post(f"{prefix}/validate", content=f'{{"{key}": {value}}}', headers=JSON)
    assert response.status_code == 200
    assert not re.search(r"[:\[,](NaN|-?Infinity)", response.text)


def test_the_digits_are_there_with_their_attribution(served: Served):
    (digits,) = served.http.get("/v1/datasets").json()["data"]
    assert (digits["name"], digits["samples"], digits["classes"], digits["license"]) == (
        "digits",
        1797,
        10,
        "CC-BY-4.0",
    )
    assert "UCI" in digits["attribution"]


def test_the_queue_counts_jobs(served: Served):
    served.submit()
    answer = served.http.get("/v1/queue").json()
    assert (answer["queued"], answer["running"], answer["counts"]["queued"]) == (1, 0, 1)
    assert answer["oldest_queued_at"] > 0


def test_alive_is_not_ready(served: Served):
    assert served.http.get("/healthz").json() == {"status": "ok"}
    response = served.http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "ok"
    assert response.json()["checks"]["broker"] == "does not answer"
    assert response.headers["retry-after"] == "1"


def test_ready_means_that_a_worker_takes_jobs(tmp_path, broker_url):
    with serving(tmp_path, broker_url=broker_url) as served:
        assert served.http.get("/readyz").json()["checks"]["worker"] == "none takes jobs just now"
        with redis.Redis.from_url(broker_url) as client:
            client.set(f"{CONSUMER_KEY}test", '{"slots": 1}')
        assert served.http.get("/readyz").json()["checks"] == {"database": "ok", "broker": "ok", "worker": "ok"}


def test_the_docs_need_nothing_from_elsewhere(served: Served):
    pages = [served.http.get(path) for path in ("/docs", "/docs.css", "/docs.js")]
    assert [page.status_code for page in pages] == [200, 200, 200]
    assert not any("://" in page.text for page in pages)
    assert "default-src 'self'" in pages[0].headers["content-security-policy"]
    assert served.http.get("/").headers["location"] == "/docs"


def test_every_refusal_is_declared_as_a_problem(served: Served):
    document = served.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            refusals = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            for status, answer in refusals.items():
                assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
            if operation.get("parameters") or "requestBody" in operation:
                assert refusals.keys() & {"422", "400"}, (method, path)


def test_every_reference_of_the_document_leads_somewhere(served: Served):
    text = served.http.get("/openapi.json").text
    schemas = served.http.get("/openapi.json").json()["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= set(schemas)
    assert "#/$defs" not in text


def test_the_document_is_made_at_the_first_look_and_once(served: Served):
    app = create_app(AppSettings(), served.services.shared)
    assert app.openapi_schema is None
    with ThreadPoolExecutor(4) as readers:
        found = list(readers.map(lambda _: app.openapi(), range(4)))
    assert all(document is found[0] for document in found)


def test_a_wrong_method_does_not_wait_for_the_document(served: Served):
    app = create_app(AppSettings(), served.services.shared)
    assert methods_at(app, "/v1/training/jobs") == ["GET", "POST"]
    assert methods_at(app, "/v1/nowhere") == []
    assert app.openapi_schema is None
