"""Webhooks over HTTP: registered, refused, listed, and their secrets never told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.serving import JOBS, SPEC, Served, serving
from tests.receiver import receiving
from worker.sending import Sender

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOKS = "/v1/webhooks"


@pytest.fixture
def open_to_loopback(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, webhook_allowed_networks=("127.0.0.0/8",)) as running:
        yield running


def test_a_job_tells_its_end_and_the_tries_are_listed(open_to_loopback: Served):
    served = open_to_loopback
    with receiving(503) as receiver:
        hook = {"url": receiver.url, "secret": SECRET}
        job_id = served.submit(webhooks=[hook, {**hook, "when": {"metric": "loss_scale", "below": 1}}])
        served.http.post(f"{JOBS}/{job_id}/cancel")
        assert Sender(served.services.webhooks, served.services.shared).round() == 1
    answer = served.http.get(f"{JOBS}/{job_id}/webhooks")
    (delivery,) = answer.json()["data"]
    assert (delivery["type"], delivery["status"], delivery["url"]) == ("job.cancelled", "pending", receiver.url)
    assert delivery["attempts"][0]["status_code"] == 503
    assert delivery["next_at"] > delivery["created_at"]


def test_the_secret_is_in_no_answer(open_to_loopback: Served):
    served = open_to_loopback
    hook = {"url": "http://127.0.0.1:9/", "secret": SECRET}
    made = served.http.post(HOOKS, json=hook)
    assert (made.status_code, made.headers["location"]) == (201, f"{HOOKS}/{made.json()['id']}")
    job_id = served.submit(webhooks=[hook])
    wrong = (
        {**SPEC, "webhooks": [{"url": SECRET, "secret": SECRET}]},
        {**SPEC, "webhooks": [SECRET]},
        {**SPEC, "webhooks": [{**hook, "secret": SECRET[:-8]}]},
        {**SPEC, "suffix": SECRET * 3},
    )
    sweep = {"job": {**SPEC, "webhooks": [hook]}, "grid": {"/webhooks/0/secret": [SECRET]}}
    answers = [
        made,
        *(served.http.get(path) for path in (HOOKS, f"{HOOKS}/{made.json()['id']}", f"{JOBS}/{job_id}", JOBS)),
        *(served.http.get(f"{JOBS}/{job_id}/{part}") for part in ("webhooks", "events")),
        *(served.http.post(JOBS, json=job) for job in wrong),
        served.http.post("/v1/sweeps", json=sweep),
    ]
    assert [answer.status_code for answer in answers] == [201] + [200] * 6 + [422] * 5
    assert [answer.text for answer in answers if SECRET.removeprefix("whsec_")[:12] in answer.text] == []


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "http://2130706433/", "http://[::1]:80/", "http://[::ffff:10.0.0.1]/", "https://10.1/"),
        *("ftp://example.org/", "http://user:pass@example.org/", "http:///path", "example.org", "http://a b/"),
        *("http://example.org:99999/", "http://ex\u00e4mple.org/"),
    ],
)
def test_urls_that_lead_inside_or_nowhere_are_refused(served: Served, url: str):
    refused = served.http.post(HOOKS, json={"url": url, "secret": SECRET})
    assert (refused.status_code, [fault["pointer"] for fault in refused.json()["errors"]]) == (422, ["/url"])
    inside = served.http.post(JOBS, json={**SPEC, "webhooks": [{"url": url, "secret": SECRET}]})
    assert [fault["pointer"] for fault in inside.json()["errors"]] == ["/webhooks/0/url"]


def test_a_condition_needs_a_bound(served: Served):
    hook = {"url": "https://example.org/", "secret": SECRET, "when": {"metric": "loss"}}
    refused = served.http.post(HOOKS, json=hook).json()
    assert refused["errors"][0]["pointer"] == "/when"
    assert "below" in refused["detail"]


def test_webhooks_are_listed_and_deleted_and_not_without_end(served: Served):
    hook = {"url": "https://example.org/", "secret": SECRET, "events": ["job.failed"]}
    made = [served.http.post(HOOKS, json=hook) for _ in range(21)]
    assert [answer.status_code for answer in made] == [201] * 20 + [422]
    listed = served.http.get(HOOKS).json()["data"]
    assert [entry["id"] for entry in listed] == [answer.json()["id"] for answer in made[19::-1]]
    first = f"{HOOKS}/{listed[0]['id']}"
    assert served.http.get(first).json()["events"] == ["job.failed"]
    assert [served.http.delete(first).status_code, served.http.delete(first).status_code] == [204, 404]
