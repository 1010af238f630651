"""Who comes in: keys, scopes, what is open, and how refusals look to clients."""

import re
from collections.abc import Iterator

import httpx
import openai
import pytest

from app.client import Client, Forbidden, Unauthorized
from tests.app.keyed import Keyed, keyed
from tests.app.serving import JOBS, SPEC, Served
from tests.waiting import PATIENCE
from worker.jobs.audit import AuditLog
from worker.jobs.keys import SCOPES

OPEN = {"/", "/docs", "/docs.css", "/docs.js", "/openapi.json", "/healthz", "/readyz"}


@pytest.fixture
def service(tmp_path) -> Iterator[Keyed]:
    with keyed(tmp_path, "anna") as running:
        yield running


def bearing(service: Keyed, token: str) -> httpx.Client:
    return httpx.Client(base_url=service.served.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)


def test_every_route_but_the_open_ones_asks_for_a_key(service):
    with service.http("") as http:
        document = http.get("/openapi.json").json()
        asked = 0
        for path, methods in document["paths"].items():
            for method in methods:
                response = http.request(method, re.sub(r"\{[^}]+\}", "a-1", path))
                assert (response.status_code == 401) == (path not in OPEN), (method, path)
                asked += response.status_code == 401
        assert asked >= 20
        for path in OPEN - {"/readyz"}:
            assert http.get(path).status_code in {200, 307}
        for path in ("/v1/nothing", "/metrics", "/v1/", "//v1/training/jobs", "/healthz/", "/docs/x"):
            assert http.get(path).status_code == 401, path


def test_a_refusal_is_a_problem_with_a_challenge(service):
    with service.http("") as http:
        missing = http.get(JOBS)
        wrong = [
            http.get(JOBS, headers={"Authorization": value})
            for value in ("Bearer hs_wrong", "bearer  hs_wrong", b"Bearer \xff")
        ]
        other = http.get(JOBS, headers={"Authorization": f"Basic {service.tokens['anna']}"})
    assert missing.headers["www-authenticate"] == other.headers["www-authenticate"] == 'Bearer realm="halfstep"'
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json()["error"]["code"] == "api_key_missing"
    assert missing.json()["request_id"] == missing.headers["x-request-id"]
    for response in wrong:
        assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_is_good_for_its_scopes_only(service, scope):
    _, token = service.keys.create("anna", [scope])
    asked = {
        "read": ("GET", JOBS, None),
        "write": ("POST", JOBS, SPEC),
        "metrics": ("GET", "/metrics", None),
    }
    with bearing(service, token) as http:
        refused = {
            needed
            for needed, (method, path, body) in asked.items()
            if http.request(method, path, json=body).status_code == 403
        }
        stateless = http.post("/v1/policies/validate", json={"policy": "mixed_float16"})
        deleted = http.delete(f"{JOBS}/job-1")
    assert refused == set(SCOPES) - {scope}
    assert stateless.status_code == (200 if scope == "read" else 403)
    assert deleted.status_code == (404 if scope == "write" else 403)
    if scope != "write":
        assert deleted.json()["error"]["code"] == "scope_missing"
        assert 'scope="write"' in deleted.headers["www-authenticate"]


def test_a_revoked_key_is_refused_from_the_next_request_on(service):
    key, token = service.keys.create("anna", ["read"])
    with bearing(service, token) as http:
        assert http.get(JOBS).status_code == 200
        service.keys.revoke(key.id)
        assert http.get(JOBS).status_code == 401


def test_the_openai_client_raises_its_own_errors(service):
    _, reader = service.keys.create("anna", ["metrics"])
    url = f"{service.served.url}/v1"
    with (
        openai.OpenAI(base_url=url, api_key="hs_wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as unknown,
    ):
        client.files.list()
    with (
        openai.OpenAI(base_url=url, api_key=reader, max_retries=0) as client,
        pytest.raises(openai.PermissionDeniedError) as lacking,
    ):
        client.files.list()
    assert unknown.value.code == "invalid_api_key"
    assert lacking.value.code == "scope_missing"


def test_our_own_client_sends_its_key(service, monkeypatch):
    with Client(service.served.url, api_key=service.tokens["anna"]) as client:
        job = client.submit(SPEC)["id"]
    monkeypatch.setenv("HALFSTEP_API_KEY", service.tokens["anna"])
    with Client(service.served.url) as client:
        assert client.get(job)["id"] == job
    with Client(service.served.url, api_key="") as nobody, pytest.raises(Unauthorized):
        nobody.get(job)
    _, other = service.keys.create("anna", ["write"])
    with Client(service.served.url, api_key=other) as writer, pytest.raises(Forbidden):
        writer.get(job)


def test_without_auth_nobody_is_asked_and_nothing_written_down(served: Served):
    job = served.submit()
    assert served.http.get(f"{JOBS}/{job}", headers={"Authorization": "Bearer whatever"}).status_code == 200
    assert AuditLog(served.services.database).read() == ()


def test_deeds_and_refusals_are_written_down_before_they_are_answered(service):
    log = AuditLog(service.served.services.database)
    with service.http("anna") as anna, service.http("") as nobody:
        made = anna.post(JOBS, json=SPEC, params={"dry_run": "false"}, headers={"X-Request-ID": "mine"})
        anna.get(JOBS)
        anna.post("/v1/policies/validate", json={"policy": "float16"})
        anna.post(f"{JOBS}/job-a%00%0Ab/cancel")
        nobody.post(JOBS, json=SPEC)
    key = service.keys.keys()[0]
    lines = [(line.tenant, line.key_id, line.action, line.object, line.outcome) for line in log.read()]
    assert lines == [
        ("anna", key.id, "POST", made.headers["location"], 201),
        ("anna", key.id, "POST", f"{JOBS}/job-a%00%0Ab/cancel", 404),
        ("", "", "POST", JOBS, 401),
    ]
    assert (log.read()[0].request_id, log.read()[0].address) == ("mine", "127.0.0.1")
    assert [line.outcome for line in log.read(tenant="anna", limit=1)] == [404]


def test_an_audit_log_that_fails_holds_up_no_answer(service, caplog):
    with service.served.services.database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_log RENAME TO away")
    with service.http("anna") as anna:
        assert anna.post(JOBS, json=SPEC).status_code == 201
    assert "the audit log takes nothing" in caplog.text


def test_the_stream_of_a_revoked_key_ends_within_a_heartbeat(tmp_path):
    with keyed(tmp_path, "anna", sse_heartbeat_seconds=0.1) as service, service.http("anna") as anna:
        job = anna.post(JOBS, json=SPEC).json()["id"]
        with anna.stream("GET", f"{JOBS}/{job}/events", params={"stream": "true"}) as stream:
            lines = stream.iter_lines()
            assert any(line.startswith("data:") for line in lines)
            (key,) = service.keys.keys("anna")
            service.keys.revoke(key.id)
            rest = list(lines)  # ends, though the job goes on
        assert not any("job.succeeded" in line for line in rest)
        assert anna.get(f"{JOBS}/{job}").status_code == 401


def test_the_stream_of_a_good_key_goes_on(tmp_path):
    with keyed(tmp_path, "anna", sse_heartbeat_seconds=0.05) as service, service.http("anna") as anna:
        job = anna.post(JOBS, json=SPEC).json()["id"]
        with anna.stream("GET", f"{JOBS}/{job}/events", params={"stream": "true"}) as stream:
            beats = 0
            for line in stream.iter_lines():
                beats += line.startswith(":")
                if beats == 5:
                    anna.post(f"{JOBS}/{job}/cancel")
        assert beats >= 5
