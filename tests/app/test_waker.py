"""The line before the broker: nobody waits in it, and what falls out of it is not lost."""

import logging
from dataclasses import dataclass
from threading import Event

import pytest

from app import waker
from app.waker import Waker
from tests.waiting import until
from worker.jobs.records import Wakeup
from worker.queue import QueueUnavailable


@dataclass(frozen=True)
class FakeJob:
    id: str
    attempt: int = 0


def test_jobs_are_announced_in_order():
    seen: list[Wakeup] = []
    line = Waker(lambda *wakeups: seen.extend(wakeups))
    line.start()
    for number in range(5):
        line.wake(FakeJob(str(number), number))
    until(lambda: len(seen) == 5)
    line.stop()
    assert [(wakeup.job_id, wakeup.attempt) for wakeup in seen] == [(str(number), number) for number in range(5)]


def test_a_broker_that_is_away_stops_nobody(caplog: pytest.LogCaptureFixture):
    tried = []

    def deliver(*wakeups: Wakeup) -> None:
        tried.extend(wakeup.job_id for wakeup in wakeups)
        if len(tried) == 1:
            raise QueueUnavailable("away")

    line = Waker(deliver)
    line.start()
    line.wake(FakeJob("first"))
    until(lambda: tried == ["first"])
    line.wake(FakeJob("second"))
    until(lambda: tried == ["first", "second"])
    line.stop()
    assert "1 jobs are left to the reaper, the first is first: away" in caplog.text


def test_what_waits_is_announced_together():
    release, begun, seen = Event(), Event(), list[int]()

    def deliver(*wakeups: Wakeup) -> None:
        seen.append(len(wakeups))
        begun.set()
        release.wait()

    line = Waker(deliver)
    line.start()
    line.wake(FakeJob("first"))
    begun.wait()
    for number in range(5):
        line.wake(FakeJob(str(number)))
    release.set()
    until(lambda: sum(seen) == 6)
    line.stop()
    assert seen == [1, 5]


def test_a_full_line_drops_and_says_so(caplog: pytest.LogCaptureFixture):
    release, begun = Event(), Event()

    def deliver(*_: Wakeup) -> None:
        begun.set()
        release.wait(20)

    line = Waker(deliver)
    line.start()
    line.wake(FakeJob("slow"))
    assert begun.wait(10)
    with caplog.at_level(logging.WARNING):
        for number in range(waker._LONGEST + 1):
            line.wake(FakeJob(str(number)))
    release.set()
    line.stop()
    assert "the line to the broker is full" in caplog.text
