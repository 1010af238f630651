"""The log of a job, as a list and as a stream."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import httpx
import pytest

from app.settings import AppSettings
from tests.app.serving import JOBS, Served, serving
from tests.waiting import until
from worker.jobs.records import Event, Flush, NewEvent

STREAM = {"Accept": "text/event-stream"}


class LostLog:
    def events(self, job_id: str, *, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        raise ConnectionError("the store is away")


def tell(served: Served, claim, *texts: str) -> None:
    events = tuple(NewEvent("job.metrics", text, {"text": text}) for text in texts)
    served.services.store.record(claim, Flush(0, 0, events=events))


def ids(text: str) -> list[int]:
    return [int(line.removeprefix("id: ")) for line in text.splitlines() if line.startswith("id: ")]


@contextmanager
def stream(served: Served, job_id: str, **headers: str) -> Iterator[httpx.Response]:
    with served.http.stream("GET", f"{JOBS}/{job_id}/events", headers={**STREAM, **headers}) as response:
        assert response.status_code == 200
        yield response


def test_the_list_is_paged_by_id(served: Served):
    job_id = served.submit()
    tell(served, served.claimed(job_id), "one", "two")
    url = f"{JOBS}/{job_id}/events"
    page = served.http.get(url, params={"limit": 3}).json()
    assert ([event["id"] for event in page["data"]], page["has_more"]) == ([1, 2, 3], True)
    rest = served.http.get(url, params={"after": page["last_id"]}).json()
    assert [event["message"] for event in rest["data"]] == ["one", "two"]
    assert (rest["first_id"], rest["last_id"], rest["has_more"]) == (4, 5, False)
    assert served.http.get(url, params={"after": 99}).json()["data"] == []


def test_the_stream_of_an_ended_job_is_the_whole_log(served: Served):
    job_id = served.submit()
    served.http.post(f"{JOBS}/{job_id}/cancel")
    response = served.http.get(f"{JOBS}/{job_id}/events", params={"stream": "true"})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-store"
    assert ids(response.text) == [1, 2, 3]
    assert "event: job.cancelled\n" in response.text
    log = served.http.get(f"{JOBS}/{job_id}/events", headers={**STREAM}, params={"stream": "false"}).json()
    assert [event["id"] for event in log["data"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("last", "expected"), [("1", [2, 3]), ("3", []), ("99", []), ("x", [1, 2, 3]), ("9" * 50, [1, 2, 3])]
)
def test_the_stream_goes_on_after_the_last_event_that_was_seen(served: Served, last, expected):
    job_id = served.submit()
    served.http.post(f"{JOBS}/{job_id}/cancel")
    with stream(served, job_id, **{"Last-Event-ID": last}) as response:
        assert ids(response.read().decode()) == expected


def test_many_followers_get_each_event_once_and_in_order(served: Served):
    job_id = served.submit()
    claim = served.claimed(job_id)
    seen: list[list[int]] = [[] for _ in range(8)]

    def follow(mine: list[int], start: int) -> None:
        with stream(served, job_id, **{"Last-Event-ID": str(start)}) as response:
            for line in response.iter_lines():
                mine.extend(ids(line))

    threads = [Thread(target=follow, args=(mine, number % 3)) for number, mine in enumerate(seen)]
    for thread in threads:
        thread.start()
    until(lambda: all(seen))
    for number in range(20):
        tell(served, claim, str(number), "again")
    served.services.store.succeed(claim, [])
    for thread in threads:
        thread.join(20)
    assert seen == [list(range(1 + number % 3, 45)) for number in range(8)]


def test_fifty_followers_that_are_cut_off_hear_each_event_once_from_one_look_at_the_log(served: Served):
    job_id = served.submit()
    claim = served.claimed(job_id)
    seen: list[list[int]] = [[] for _ in range(50)]

    def follow(mine: list[int], cut_after: int) -> None:
        for most in (cut_after, 1000):
            with stream(served, job_id, **{"Last-Event-ID": str(mine[-1] if mine else 0)}) as response:
                for line in response.iter_lines():
                    mine.extend(ids(line))
                    if len(mine) == most:
                        break

    threads = [Thread(target=follow, args=(mine, 3 + number)) for number, mine in enumerate(seen)]
    for thread in threads:
        thread.start()
    until(lambda: all(seen))
    assert served.services.feed.followed == 1
    for number in range(60):
        tell(served, claim, str(number))
    served.services.store.succeed(claim, [])
    for thread in threads:
        thread.join(30)
    last = served.services.store.get(job_id).last_event_id
    assert seen == [list(range(1, last + 1))] * 50


def test_silence_is_broken_by_comments(tmp_path: Path):
    settings = AppSettings(sse_heartbeat_seconds=0.05, sse_poll_seconds=0.02)
    with serving(tmp_path, settings) as served, stream(served, served.submit()) as response:
        comments = (line for line in response.iter_lines() if line.startswith(":"))
        assert next(comments) == next(comments) == ": still here"


def test_a_stream_ends_at_its_longest(tmp_path: Path):
    settings = AppSettings(sse_longest_seconds=0.1, sse_poll_seconds=0.02)
    with serving(tmp_path, settings) as served, stream(served, served.submit()) as response:
        assert ids(response.read().decode()) == [1, 2]


def test_a_stop_ends_open_streams_at_once(served: Served):
    with stream(served, served.submit()) as response:
        lines = response.iter_lines()
        assert next(lines) == "retry: 1000"
        served.server.handle_exit(0, None)
        assert all(line == "" or line.startswith(("id", "event", "data")) for line in lines)


def test_a_listener_that_leaves_is_forgotten(served: Served):
    feed = served.services.feed
    with stream(served, served.submit()) as response:
        lines = response.iter_lines()
        next(lines)
        until(lambda: feed.followed == 1)
    assert until(lambda: feed.followed == 0) is True


def test_a_store_that_fails_ends_the_stream_and_not_the_server(served: Served):
    job_id = served.submit()
    with stream(served, job_id) as response:
        lines = response.iter_lines()
        until(lambda: next(lines).startswith("id: 2"))
        served.services.feed._log = LostLog()
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert served.http.get("/healthz").status_code == 200
