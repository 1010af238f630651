"""Limits, quotas, names, pages of other sites, headers: what the gate asks beside keys."""

import logging
import socket
from contextlib import suppress

import httpx
import pytest

from app.protocol import BoundedHttp
from app.settings import AppSettings
from tests.app.keyed import keyed
from tests.app.serving import JOBS, JSON, SPEC, Served, serving
from tests.waiting import PATIENCE, until

_TOO_LARGE = b"Request Header Fields Too Large"


def raw(served: Served, data: bytes) -> bytes:
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(data)
        with suppress(ConnectionResetError):  # of what was not read to its end
            return connection.recv(65536)
        return b""


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "LOCALHOST", "[::1]:8000"])
def test_the_names_of_loopback_are_answered(served, host):
    assert served.http.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "localhost.evil.example", "", "[::2]"])
def test_a_name_that_was_bound_to_loopback_by_others_is_refused(served, host):
    answer = served.http.get(JOBS, headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "host_not_allowed")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1"])
def test_a_page_of_another_site_changes_nothing(served, origin):
    job = served.submit()
    for method, path in (("POST", f"{JOBS}/{job}/cancel"), ("DELETE", f"{JOBS}/{job}"), ("POST", JOBS)):
        answer = served.http.request(method, path, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_origin")
        assert "access-control-allow-origin" not in answer.headers
    own = served.http.post(f"{JOBS}/{job}/cancel", headers={"Origin": served.url})
    assert own.status_code == 200


def test_only_listed_sites_may_use_a_browser(tmp_path):
    site = "https://dashboard.example"
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with (
        keyed(tmp_path, "anna", cors_origins=(site,)) as service,
        service.http("anna") as anna,
        service.http("") as http,
    ):
        allowed = http.options(JOBS, headers={"Origin": site, **ask})
        refused = http.options(JOBS, headers={"Origin": "https://evil.example", **ask})
        assert anna.post(JOBS, json=SPEC, headers={"Origin": site}).status_code == 201
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, site)
    assert "access-control-allow-origin" not in refused.headers
    with pytest.raises(ValueError, match="name the sites"):
        AppSettings(cors_origins="*")


def test_every_answer_tells_browsers_to_be_careful(served):
    for path in ("/healthz", "/docs", "/docs.js", JOBS, "/v1/nothing"):
        headers = served.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert len(headers.get_list("content-security-policy")) == 1


def test_answers_to_key_holders_are_kept_by_no_cache(tmp_path):
    with keyed(tmp_path, "anna") as service, service.http("anna") as anna:
        assert anna.get(JOBS).headers["cache-control"] == "no-store"


def test_rates_are_told_and_held_through_the_broker(tmp_path, broker_url):
    limits = {"rate_per_key": 3, "rate_per_tenant": 5}
    settings = AppSettings(auth="required", **limits)
    with (
        keyed(tmp_path, "anna", "ben", **limits) as first,
        serving(tmp_path, settings, broker_url=broker_url) as shared,
    ):
        assert first.served.url != shared.url
        with httpx.Client(base_url=shared.url, headers={"Authorization": f"Bearer {first.tokens['anna']}"}) as anna:
            answers = [anna.get("/v1/queue") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"key";q=3;w=60, "tenant";q=5;w=60'
        assert answers[0].headers["ratelimit"].startswith('"key";r=2;t=')
        refused = answers[3]
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["error"]["code"] == "rate_limited"
        with httpx.Client(base_url=shared.url, headers={"Authorization": f"Bearer {first.tokens['ben']}"}) as ben:
            assert ben.get("/v1/queue").status_code == 200


def test_without_a_broker_each_process_counts_alone(tmp_path):
    with keyed(tmp_path, "anna", rate_per_key=2) as service, service.http("anna") as anna:
        assert [anna.get("/v1/queue").status_code for _ in range(3)] == [200, 200, 429]


def test_an_address_that_guesses_keys_is_slowed_and_good_keys_are_not(tmp_path):
    with keyed(tmp_path, "anna", rate_of_failures=3) as service:
        with service.http("") as http:
            codes = [http.get(JOBS, headers={"Authorization": f"Bearer hs_{n}"}).status_code for n in range(5)]
        with service.http("anna") as anna:
            assert anna.get(JOBS).status_code == 200
    assert codes == [401, 401, 401, 429, 429]


def test_without_keys_nothing_is_counted(served):
    assert "ratelimit" not in served.http.get(JOBS).headers


def test_a_quota_of_jobs_is_each_tenants_own(tmp_path):
    with (
        keyed(tmp_path, "anna", "ben", quota_jobs=1) as service,
        service.http("anna") as anna,
        service.http("ben") as ben,
    ):
        made = anna.post(JOBS, json=SPEC)
        full = anna.post(JOBS, json=SPEC)
        assert (full.status_code, full.json()["error"]["code"]) == (429, "quota_jobs_reached")
        assert "HALFSTEP_QUOTA_JOBS" in full.json()["detail"]
        assert ben.post(JOBS, json=SPEC).status_code == 201
        anna.post(f"{JOBS}/{made.json()['id']}/cancel")
        assert anna.post(JOBS, json=SPEC).status_code == 201


def test_a_quota_of_bytes_names_its_setting(tmp_path):
    with serving(tmp_path, AppSettings(quota_bytes=4)) as served:
        job = served.submit()
        store, artifacts = served.services.store, served.services.artifacts
        store.succeed(served.claimed(job), [artifacts.put(job, "report.json", b"1234")])
        full = served.http.post(JOBS, json=SPEC)
    assert (full.status_code, full.json()["error"]["code"]) == (429, "quota_bytes_reached")
    assert "HALFSTEP_QUOTA_BYTES" in full.json()["detail"]


def test_a_head_without_end_is_refused(served):
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    assert raw(served, head + b"X-Long: abc\r\n" * 60_000).partition(b"\r\n")[0][-31:] in {b"", _TOO_LARGE}
    assert b" 200 " in raw(served, head + b"X-Short: abc\r\n" * 100 + b"\r\n")


class Hasty(BoundedHttp):
    """The same bounds, sooner."""

    head_seconds = 0.2
    body_seconds = 0.2


_HEAD = b"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n"


@pytest.mark.parametrize("begun", [b"POST /v1/tran", _HEAD, _HEAD + b"\r\n", _HEAD + b"\r\n" + b" " * 4000])
def test_who_drips_a_request_is_cut_off(tmp_path, begun):
    with serving(tmp_path, http=Hasty) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(begun)
            assert connection.recv(65536) == b""
        assert served.http.post("/v1/policies/serialize", json={"policy": "float16"}).status_code == 200


def test_a_body_that_keeps_coming_is_waited_for(tmp_path):
    class Patient(BoundedHttp):
        body_seconds = 0.5

    with serving(tmp_path, http=Patient) as served:
        asked = (b'{"policy":', *[b" " * 40_000] * 8, b'"float16"}')
        answer = served.http.post("/v1/policies/serialize", content=iter(asked), headers=JSON)
    assert answer.status_code == 200


def test_a_header_that_comes_twice_is_good_for_nothing(tmp_path, served):
    twice = b"GET /v1/queue HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n"
    assert raw(served, twice).startswith(b"HTTP/1.1 400 ")
    with keyed(tmp_path / "keyed", "anna") as service:
        key = f"Authorization: Bearer {service.tokens['anna']}\r\n".encode()
        ask = b"GET /v1/queue HTTP/1.1\r\nHost: localhost\r\n"
        assert raw(service.served, ask + key + b"\r\n").startswith(b"HTTP/1.1 200 ")
        assert raw(service.served, ask + b"Authorization: Bearer hs_x\r\n" + key + b"\r\n").startswith(b"HTTP/1.1 401 ")


def test_a_caller_who_hangs_up_is_no_fault_of_ours(served, caplog):
    host, port = served.url.removeprefix("http://").split(":")
    figure = 'halfstep_http_request_seconds_count{method="POST",route="/v1/translate",status="400"}'
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(_HEAD + b"\r\n{")
    until(lambda: figure in served.http.get("/metrics").text, what="the request to end")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_chunked_body_is_bounded(tmp_path):
    with serving(tmp_path, AppSettings(max_body_bytes=2048)) as served:
        answer = served.http.post(JOBS, content=iter([b"x" * 1000] * 4), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")


def test_no_secret_is_in_logs_answers_or_events(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    secrets = ["hs_guessed-token", "broker-password", "database-password"]
    with keyed(tmp_path, "anna", rate_per_key=100) as service:
        said = []
        with service.http("anna") as anna, service.http("") as http:
            job = anna.post(JOBS, json=SPEC).json()["id"]
            said += [anna.get(f"{JOBS}/{job}{part}").text for part in ("", "/events", "/metrics")]
            said.append(http.get(JOBS, headers={"Authorization": f"Bearer {secrets[0]}"}).text)
            with service.served.services.database.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE api_keys RENAME TO away")
            said.append(anna.get(JOBS).text)
        token = service.tokens["anna"]
    away = tmp_path / "away"
    broken = {"database_url": f"sqlite:///{away}/x.db", "broker_url": f"redis://:{secrets[1]}@127.0.0.1:1/0"}
    with serving(tmp_path, broker_url=broken["broker_url"]) as served:
        served.submit()
        said.append(served.http.get("/readyz").text)
    # What HTTP libraries of this test's own client log is not ours.
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    for secret in (*secrets, token):
        assert [text for text in (*said, *ours) if secret in text] == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({}, 201),
    ],
)
def test_a_form_of_another_sites_page_is_refused_though_it_has_no_origin(served, headers: dict[str, str], status: int):
    files = {"file": ("rows.csv", b"x,label\n1,0\n2,1\n")}
    answer = served.http.post("/v1/files", data={"purpose": "fine-tune"}, files=files, headers=headers)
    assert answer.status_code == status
    assert served.http.get("/healthz", headers=headers).status_code == 200


def test_a_request_without_a_host_is_refused(tmp_path):
    with keyed(tmp_path, "anna") as service:
        assert raw(service.served, b"GET /healthz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert b" 200 " in raw(service.served, b"GET /healthz HTTP/1.0\r\n\r\n")
