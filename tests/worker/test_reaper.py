"""The reaper: dead workers, lost messages, a broker that is down; and several reapers at once."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Thread

import pytest
import sqlalchemy as sa

from tests.e2e.workers import writable
from tests.waiting import until
from tests.worker.clocks import ManualClock
from tests.worker.fakes import SPEC, FakeQueue, wakeup
from worker.jobs import database
from worker.jobs.records import Job
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.queue import QueueUnavailable
from worker.reaper import GRACE_SECONDS, Reaper, Round, Watch, run
from worker.settings import WorkerSettings

LEASE = 10.0


@pytest.fixture
def bell() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def reaper(store: JobStore, bell: FakeQueue, settings: WorkerSettings, clock: ManualClock) -> Reaper:
    return Reaper(store, bell, settings, lambda owner: owner == "dead", clock, Watch(clock))


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(SPEC, total_steps=12, epochs=3)


def test_with_nothing_to_do_it_does_nothing(reaper: Reaper):
    assert reaper.round() == Round()


def test_a_fresh_wakeup_is_left_to_its_writer(reaper: Reaper, bell: FakeQueue, job: Job):
    assert reaper.round() == Round()
    assert bell.messages == []


def test_a_wakeup_nobody_sent_is_sent_once(reaper: Reaper, bell: FakeQueue, job: Job, clock: ManualClock):
    clock.move(GRACE_SECONDS)
    assert reaper.round() == Round(sent=1)
    assert bell.messages == [job.id]
    assert reaper.round() == Round()


def test_a_running_job_is_left_alone(reaper: Reaper, store: JobStore, job: Job, clock: ManualClock):
    store.claim(job.id, "me", LEASE)
    clock.move(LEASE - 1)
    assert reaper.round() == Round()
    assert store.get(job.id).status is JobStatus.RUNNING


def test_a_lease_that_ran_out_is_taken_back_and_rung_at_once(
    reaper: Reaper, store: JobStore, bell: FakeQueue, job: Job, clock: ManualClock
):
    store.claim(job.id, "me", LEASE)
    assert reaper.round() == Round()
    clock.move(LEASE)
    assert reaper.round() == Round(taken_back=1, sent=1)
    assert bell.messages == [job.id]
    assert store.get(job.id).transitions[-1].reason == "lease_expired"


def test_a_lease_that_is_renewed_is_kept_whatever_time_its_holder_believes_in(
    reaper: Reaper, engine: sa.Engine, store: JobStore, job: Job, clock: ManualClock
):
    behind = JobStore(engine, lambda: clock.now - 3600.0)
    claim = behind.claim(job.id, "on a host whose clock is an hour behind", LEASE)
    assert claim is not None
    for _ in range(3):
        assert reaper.round() == Round()
        clock.move(LEASE - 1)
        behind.renew(claim, LEASE)
    assert store.get(job.id).status is JobStatus.RUNNING


def test_a_clock_set_back_delays_neither_leases_nor_messages(
    store: JobStore, bell: FakeQueue, settings: WorkerSettings, clock: ManualClock
):
    monotonic = ManualClock()
    reaper = Reaper(store, bell, settings, lambda owner: False, clock, Watch(monotonic))
    held, unsent, unheard = (store.create(SPEC, total_steps=12, epochs=3) for _ in range(3))
    store.claim(held.id, "me", LEASE)
    store.delivered(wakeup(unheard.id))
    assert reaper.round() == Round()
    clock.move(-3600)
    assert reaper.round() == Round(sent=1, sent_again=1)
    assert bell.messages == [unsent.id, unheard.id]
    monotonic.move(LEASE)
    assert reaper.round() == Round(taken_back=1, sent=1)


def test_the_job_of_a_dead_process_need_not_wait_for_its_lease(reaper: Reaper, store: JobStore, job: Job):
    store.claim(job.id, "dead", LEASE)
    assert reaper.round() == Round(taken_back=1, sent=1)
    assert store.get(job.id).transitions[-1].reason == "worker_died"


def test_a_cancelled_job_of_a_dead_worker_is_cancelled(reaper: Reaper, store: JobStore, bell: FakeQueue, job: Job):
    store.claim(job.id, "dead", LEASE)
    store.request_cancel(job.id)
    assert reaper.round() == Round()
    assert store.get(job.id).status is JobStatus.CANCELLED
    assert bell.messages == []


def test_messages_the_broker_lost_are_sent_again(
    reaper: Reaper, store: JobStore, bell: FakeQueue, job: Job, clock: ManualClock
):
    store.delivered(wakeup(job.id))
    clock.move(reaper.settings.rewake_seconds)
    assert reaper.round() == Round(sent_again=1)
    assert bell.messages == [job.id]


def test_jobs_that_wait_in_a_long_queue_are_not_rung_twice(
    reaper: Reaper, store: JobStore, bell: FakeQueue, clock: ManualClock
):
    for _ in range(3):
        job = store.create(SPEC, total_steps=12, epochs=3)
        bell.wake(job.id)
        store.delivered(wakeup(job.id))
    clock.move(3600)
    assert reaper.round() == Round()
    lost = bell.messages.pop()
    assert reaper.round().sent_again == 1
    assert lost


def test_without_a_broker_leases_are_still_taken_back(
    reaper: Reaper, store: JobStore, bell: FakeQueue, job: Job, clock: ManualClock
):
    bell.down = True
    store.claim(job.id, "dead", LEASE)
    with pytest.raises(QueueUnavailable):
        reaper.round()
    assert store.get(job.id).status is JobStatus.QUEUED
    bell.down = False
    clock.move(GRACE_SECONDS)
    assert reaper.round() == Round(sent=1)


def test_many_reapers_at_once_take_back_once(reaper: Reaper, store: JobStore, clock: ManualClock):
    ids = [store.create(SPEC, total_steps=12, epochs=3).id for _ in range(6)]
    for job_id in ids:
        store.claim(job_id, "me", LEASE)
    assert reaper.round() == Round()
    clock.move(LEASE)
    with ThreadPoolExecutor(4) as pool:
        rounds = list(pool.map(lambda _: reaper.round(), range(4)))
    assert sum(done.taken_back for done in rounds) == 6
    for job_id in ids:
        events = [event.type for event in store.events(job_id)]
        assert events == ["job.created", "job.queued", "job.running", "job.lease_expired", "job.queued"]


FREEZE = """
import os, signal, sqlite3, sys
from worker.jobs import database
from worker.jobs.store import JobStore
from worker.lifeline import this_process
url, path, job_id = sys.argv[1:]
JobStore(database.create(url)).claim(job_id, this_process(), 10.0)
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_worker_frozen_within_a_write_of_sqlite_is_ended_once_its_lease_is_over(tmp_path, sqlite_url, bell):
    database.migrate(sqlite_url)
    engine = database.create(sqlite_url, busy_seconds=0.2)
    store = JobStore(engine)
    job = store.create(SPEC, total_steps=12, epochs=3)
    clock = ManualClock()
    settings = WorkerSettings(data_dir=tmp_path, database_url=sqlite_url, lease_seconds=LEASE)
    reaper = Reaper(store, bell, settings, watch=Watch(clock))
    command = [sys.executable, "-c", FREEZE, sqlite_url, sqlite_url.removeprefix("sqlite:///"), job.id]
    with subprocess.Popen(command) as frozen:
        until(lambda: store.leases() and not writable(sqlite_url), what="the lock to be held")
        assert reaper.round() == Round()
        clock.move(LEASE)
        with pytest.raises(sa.exc.OperationalError, match="locked"):
            reaper.round()
        assert frozen.wait(10) == -signal.SIGKILL
        assert reaper.round().taken_back == 1
    assert store.get(job.id).status is JobStatus.QUEUED
    engine.dispose()


def test_it_goes_round_through_trouble_until_it_is_stopped(
    reaper: Reaper, bell: FakeQueue, job: Job, clock: ManualClock, caplog: pytest.LogCaptureFixture
):
    stop = Event()
    bell.down = True
    quick = replace(reaper, settings=reaper.settings.model_copy(update={"reaper_seconds": 0.01}))
    clock.move(GRACE_SECONDS)
    thread = Thread(target=run, args=(quick, stop))
    thread.start()
    until(lambda: "the reaper waits: down" in caplog.text, what="the trouble to be logged")
    bell.down = False
    until(lambda: bell.messages == [job.id], what="the wake-up")
    stop.set()
    thread.join()
    assert caplog.text.count("the reaper waits") == 1
