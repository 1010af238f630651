"""The bell: heard if the broker is there, and never in anybody's way if it is not."""

import os
import signal
from pathlib import Path

import pytest
import redis

from tests.worker.fakes import SPEC, FakeQueue, wakeup
from worker import broker
from worker.jobs.store import JobStore
from worker.queue import QUEUE, CeleryQueue, QueueUnavailable, celery_url, client_url, deliver


def test_a_message_is_the_jobs_id_and_no_more(queue: CeleryQueue, broker_url: str):
    queue.ping()
    queue.wake("job-1")
    assert queue.depth() == 1
    with redis.Redis.from_url(client_url(broker_url)) as client:
        (message,) = client.lrange(QUEUE, 0, -1)
    assert b"pickle" not in message
    assert len(message) < 1500


def test_no_worker_has_shown_itself(queue: CeleryQueue):
    assert queue.workers() == ()


def calls(queue: CeleryQueue):
    return [lambda: queue.wake("job-1"), queue.depth, queue.workers, queue.ping]


@pytest.mark.parametrize("url", ["unix:///nowhere/broker.sock?db=0", "redis://127.0.0.1:1/0"])
def test_a_broker_that_is_not_there_is_reported(url: str):
    queue = CeleryQueue(url)
    for call in calls(queue):
        with pytest.raises(QueueUnavailable, match="does not answer"):
            call()
    queue.close()


def test_a_broker_that_says_nothing_is_reported(tmp_path: Path):
    with broker.running(tmp_path) as url:
        queue = CeleryQueue(url)
        queue.wake("job-1")
        with redis.Redis.from_url(client_url(url)) as client:
            server = int(client.info("server")["process_id"])
        os.kill(server, signal.SIGSTOP)
        try:
            for call in calls(queue):
                with pytest.raises(QueueUnavailable):
                    call()
        finally:
            os.kill(server, signal.SIGCONT)
        queue.close()


def test_a_broker_that_came_back_is_used_again(tmp_path: Path):
    queue = CeleryQueue(celery_url(f"unix://{tmp_path}/broker/broker.sock?db=0"))
    for _ in range(2):
        with broker.running(tmp_path):
            queue.wake("job-1")
        with pytest.raises(QueueUnavailable):
            queue.wake("job-1")
    with broker.running(tmp_path):
        assert queue.depth() == 2
    queue.close()


def test_delivering_empties_the_outbox(store: JobStore):
    job = store.create(SPEC, total_steps=1, epochs=1)
    bell = FakeQueue()
    deliver(store, bell, wakeup(job.id))
    assert bell.messages == [job.id]
    assert store.undelivered() == ()


def test_what_was_sent_before_the_broker_went_away_is_noted(store: JobStore):
    jobs = [store.create(SPEC, total_steps=1, epochs=1).id for _ in range(3)]
    bell = FakeQueue(down_after=2)
    with pytest.raises(QueueUnavailable):
        deliver(store, bell, *map(wakeup, jobs))
    assert bell.messages == jobs[:2]
    assert [left.job_id for left in store.undelivered()] == jobs[2:]


def test_what_cannot_be_delivered_stays_in_the_outbox(store: JobStore):
    job = store.create(SPEC, total_steps=1, epochs=1)
    with pytest.raises(QueueUnavailable):
        deliver(store, FakeQueue(down=True), wakeup(job.id))
    assert len(store.undelivered()) == 1


@pytest.mark.parametrize(
    ("given", "celery", "client"),
    [
        ("unix:///a%20b/s?db=2", "redis+socket:///a%20b/s?virtual_host=2", "unix:///a%20b/s?db=2"),
        ("unix:///a/s", "redis+socket:///a/s?virtual_host=0", "unix:///a/s"),
        ("redis+socket:///a/s?virtual_host=1", "redis+socket:///a/s?virtual_host=1", "unix:///a/s?db=1"),
        ("rediss://:pw@host:1/3", "rediss://:pw@host:1/3", "rediss://:pw@host:1/3"),
    ],
)
def test_both_spellings_of_a_url(given: str, celery: str, client: str):
    assert (celery_url(given), client_url(given)) == (celery, client)
