"""The SDK against the real HTTP process."""

import hashlib
from contextlib import closing
from pathlib import Path
from threading import Thread

import httpx
import pytest

from app import client as sdk
from app.client import ApiError, Client, Conflict, Damaged, Invalid, NotFound, ServiceFault, Unreachable
from tests.app.serving import SPEC, Served
from tests.waiting import until
from worker.jobs.records import Flush, NewEvent


@pytest.fixture
def client(served: Served):
    with Client(served.url) as made:
        yield made


def answering(*answers: httpx.Response) -> Client:
    """A client whose service gives these answers, one after the other, and then the last for ever."""
    left = list(answers)
    return Client(transport=httpx.MockTransport(lambda _: left.pop(0) if len(left) > 1 else left[0]))


def sse(*numbers: int, kind: str = "job.metrics") -> httpx.Response:
    lines = "".join(f'id: {n}\nevent: {kind}\ndata: {{"id": {n}, "type": "{kind}"}}\n\n' for n in numbers)
    return httpx.Response(200, text=f"retry: 1000\n\n: still here\n\n{lines}")


def test_a_job_is_sent_and_found(client: Client):
    job = client.submit(SPEC, idempotency_key="once")
    assert client.submit(SPEC, idempotency_key="once")["id"] == job["id"]
    assert client.get(job["id"])["status"] == "queued"
    assert [found["id"] for found in client.jobs()] == [job["id"]]
    assert client.cancel(job["id"])["status"] == "cancelled"
    assert client.check(SPEC)["summary"]["parameters"] == 650


def test_jobs_are_paged_behind_the_scenes(client: Client):
    sent = [client.submit({**SPEC, "seed": seed})["id"] for seed in range(5)]
    assert [job["id"] for job in client.jobs(limit=2, order="asc")] == sent
    assert list(client.jobs(status=["failed"])) == []


def test_a_fault_carries_its_pointer(client: Client):
    with pytest.raises(Invalid) as caught:
        client.submit({**SPEC, "seed": -1})
    assert (caught.value.status, caught.value.errors[0]["pointer"]) == (422, "/seed")
    assert caught.value.request_id.startswith("req-")


def test_nan_in_the_data_reaches_the_service_and_is_pointed_at(client: Client):
    data = {"x": [[0.0] * 64, [float("nan")] * 64], "y": [0, 1]}
    with pytest.raises(Invalid) as caught:
        client.submit({**SPEC, "data": data, "fit": {}})
    assert caught.value.errors[0]["pointer"].startswith("/data/x")


def test_unknown_and_ended_jobs(client: Client, served: Served):
    with pytest.raises(NotFound):
        client.get("job-unknown")
    job_id = served.submit()
    served.services.store.succeed(served.claimed(job_id), [])
    with pytest.raises(Conflict):
        client.cancel(job_id)


def test_nobody_there():
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unreachable, match="Nobody answers"):
        client.get("job-1")


def test_events_are_followed_to_the_end(client: Client, served: Served):
    job_id = served.submit()
    claim = served.claimed(job_id)
    seen: list[int] = []
    thread = Thread(target=lambda: seen.extend(event["id"] for event in client.events(job_id)))
    thread.start()
    for number in range(3):
        served.services.store.record(claim, Flush(0, 0, events=(NewEvent("job.metrics", str(number)),)))
    served.services.store.succeed(claim, [])
    thread.join(10)
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert [event["id"] for event in client.events(job_id, after=5)] == [6, 7]
    assert list(client.events(job_id, after=7)) == []


def test_a_lost_stream_goes_on_where_it_was():
    running = httpx.Response(200, json={"status": "running"})
    answers = (sse(1, 2), running, httpx.Response(503, json={}), sse(3), running, sse(4, kind="job.succeeded"))
    client = answering(*answers)
    assert [event["id"] for event in client.events("job-1")] == [1, 2, 3, 4]


def test_a_service_that_stays_away_is_given_up():
    client = answering(httpx.Response(503, json={}))
    client._pause.set()
    with pytest.raises(Unreachable, match="No events"):
        list(client.events("job-1"))


def test_a_download_is_checked(client: Client, served: Served, tmp_path: Path):
    job_id = served.submit()
    artifact = served.services.artifacts.put(job_id, "model.safetensors", b"weights")
    served.services.store.succeed(served.claimed(job_id), [artifact])
    assert [entry["name"] for entry in client.artifacts(job_id)] == ["model.safetensors"]
    target = tmp_path / "mine.safetensors"
    assert client.download(job_id, "model.safetensors", target) == hashlib.sha256(b"weights").hexdigest()
    assert target.read_bytes() == b"weights"
    with pytest.raises(NotFound):
        client.download(job_id, "other", tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir() if path.is_file() and "halfstep" not in path.name] == [target.name]


def test_a_damaged_download_leaves_nothing(tmp_path: Path):
    client = answering(httpx.Response(200, content=b"half", headers={"ETag": f'"{"0" * 64}"'}))
    with pytest.raises(Damaged, match="download it again"):
        client.download("job-1", "model.safetensors", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_columns(client: Client, served: Served):
    job_id = served.submit()
    rows = ({"step": 1, "loss": 0.5, "applied": True},)
    served.services.store.record(served.claimed(job_id), Flush(1, 0, rows=rows))
    assert client.metrics(job_id, "loss") == {"step": [1], "loss": [0.5]}


def test_readiness_is_told_also_by_a_service_that_is_not_ready(client: Client):
    assert client.ready()["database"] == "ok"


@pytest.mark.parametrize(
    ("status", "kind"), [(500, ServiceFault), (502, ServiceFault), (418, ApiError), (409, Conflict)]
)
def test_answers_that_are_no_problem_documents(status, kind):
    for response in (httpx.Response(status, text="<html>"), httpx.Response(status, json=[1])):
        with pytest.raises(kind) as caught:
            answering(response).get("job-1")
        assert caught.value.status == status


def test_the_error_tree_is_what_the_module_draws():
    drawn = sdk.__doc__ or ""
    errors = [value for value in vars(sdk).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert errors
    assert all(error.__name__ in drawn for error in errors)


def test_following_needs_no_polling(client: Client, served: Served):
    job_id = served.submit()
    with closing(client.events(job_id)) as events:
        assert next(events)["id"] == 1
        assert until(lambda: served.services.feed.followed == 1)
