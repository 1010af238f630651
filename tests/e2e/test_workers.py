"""Real processes: a job goes through them, and through whatever is done to them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.e2e.workers import Installation, installed, stop_group, writable
from tests.waiting import PATIENCE, until
from tests.worker.specs.jobs import changed
from worker.jobs.states import JobStatus
from worker.queue import client_url

LONG = {"/fit/epochs": 60}
ENDLESS = {"/fit/epochs": 10_000}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    with installed(tmp_path, checkpoint_seconds=0.2, flush_seconds=0.1) as here:
        yield here


def test_a_job_is_trained_by_another_process(here: Installation):
    here.start_worker()
    job = here.finished(here.submit(changed({"/fit/epochs": 5})))
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert (job.attempt, job.progress.percent) == (1, 100.0)
    assert job.skipped_steps > 0
    assert job.metrics["val_accuracy"] > 0.9


def test_three_kills_of_the_workers_process_group_change_no_bit(here: Installation):
    here.start("worker.reaper")
    worker = here.start_worker()
    reference = here.finished(here.submit(changed(LONG)))
    job = here.submit(changed(LONG))
    seen = 0
    for _ in range(3):
        seen = here.event(job, "job.checkpoint", after=here.event(job, "job.running", after=seen))
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker = here.start_worker()
        seen = here.event(job, "job.lease_expired", after=seen)
    done = here.finished(job)
    assert done.status is JobStatus.SUCCEEDED, done.error
    assert done.attempt >= 4  # a loaded machine may lose a lease besides
    assert here.digest(job) == here.digest(reference)
    assert here.store.metrics(job.id, max_points=10**6) == here.store.metrics(reference.id, max_points=10**6)


def test_postgresql_in_place_of_sqlite_changes_no_bit(tmp_path: Path, postgresql_url: str, here: Installation):
    here.start_worker()
    reference = here.finished(here.submit(changed({"/fit/epochs": 30})))
    with installed(tmp_path / "other", postgresql_url, slice_seconds=0.3) as there:
        there.start("worker.reaper")
        worker = there.start_worker()
        job = there.submit(changed({"/fit/epochs": 30}))
        there.event(job, "job.metrics")
        os.killpg(worker.pid, signal.SIGKILL)
        there.start_worker()
        assert there.finished(job).status is JobStatus.SUCCEEDED
        assert there.digest(job) == here.digest(reference)


def test_short_slices_change_no_bit_either(tmp_path: Path):
    with installed(tmp_path, slice_seconds=0.2) as here:
        here.start_worker("--concurrency=2")
        jobs = [here.submit(changed({"/fit/epochs": 30})) for _ in range(3)]
        done = [here.finished(job) for job in jobs]
        assert [job.status for job in done] == [JobStatus.SUCCEEDED] * 3
        assert min(job.attempt for job in done) > 1
        assert len({here.digest(job) for job in jobs}) == 1


def test_a_worker_that_is_asked_to_stop_hands_its_job_back(here: Installation):
    worker = here.start_worker()
    job = here.submit(changed(ENDLESS))
    here.event(job, "job.metrics")
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    left = here.store.get(job.id)
    assert left.status is JobStatus.QUEUED
    assert here.store.checkpoints(job.id)[0].step == left.progress.step > 0
    here.start_worker()
    seen = here.event(job, "job.running", after=left.last_event_id)
    assert here.store.events(job.id, after=seen - 1)[0].data["resumed_from_step"] == left.progress.step
    assert here.store.request_cancel(job.id).status is JobStatus.CANCELLING
    assert here.finished(job).status is JobStatus.CANCELLED


def test_a_broker_that_forgot_everything_loses_no_job(here: Installation):
    jobs = [here.submit(changed({"/fit/epochs": 1})) for _ in range(3)]
    with redis.Redis.from_url(client_url(here.settings.broker_url)) as client:
        client.flushall()
    here.start("worker.reaper")
    here.start_worker()
    assert [here.finished(job).status for job in jobs] == [JobStatus.SUCCEEDED] * 3


def test_a_broker_that_dies_under_a_training_worker_costs_nothing(here: Installation):
    here.start("worker.reaper")
    here.start_worker()
    running = here.submit(changed(ENDLESS))
    here.event(running, "job.metrics")
    with redis.Redis.from_url(client_url(here.settings.broker_url)) as client:
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
    waiting = here.store.create(changed({"/fit/epochs": 1}), total_steps=51, epochs=1)
    here.start("worker.broker", str(here.settings.data_dir))
    seen = here.event(running, "job.checkpoint", after=here.store.get(running.id).last_event_id)
    assert here.store.get(running.id).status is JobStatus.RUNNING
    here.store.request_cancel(running.id)
    here.event(running, "job.cancelled", after=seen)
    assert here.finished(waiting).status is JobStatus.SUCCEEDED


def test_a_worker_takes_no_message_that_another_could_take(here: Installation):
    here.start_worker()
    running = here.submit(changed(ENDLESS))
    here.event(running, "job.metrics")
    waiting = here.submit(changed({"/fit/epochs": 1}))
    here.start_worker()
    assert here.finished(waiting).status is JobStatus.SUCCEEDED
    assert here.store.get(running.id).status is JobStatus.RUNNING


def test_a_child_killed_alone_is_missed_before_its_lease_ends(tmp_path: Path):
    with installed(tmp_path, lease_seconds=10 * PATIENCE, checkpoint_seconds=0.2, flush_seconds=0.1) as here:
        here.start("worker.reaper")
        here.start_worker()
        job = here.submit(changed(LONG))
        here.event(job, "job.metrics")
        (lease,) = here.store.leases()
        os.kill(int(lease.owner.split("/")[2]), signal.SIGKILL)
        here.event(job, "job.lease_expired")
        assert here.finished(job).status is JobStatus.SUCCEEDED


def freeze(here: Installation, worker: subprocess.Popen) -> None:
    """Stop a worker where it stands; on SQLite not within a write, whose lock is that of the whole database."""
    while True:
        stop_group(worker.pid)
        if writable(here.settings.database_url):
            return
        os.killpg(worker.pid, signal.SIGCONT)


def test_a_frozen_worker_that_wakes_up_late_does_no_harm(tmp_path: Path, database_url: str):
    with installed(tmp_path, database_url, lease_seconds=2.0, heartbeat_seconds=0.3, checkpoint_seconds=0.3) as here:
        here.start("worker.reaper")
        frozen = here.start_worker()
        reference = here.finished(here.submit(changed(LONG)))
        job = here.submit(changed(LONG))
        here.event(job, "job.checkpoint")
        freeze(here, frozen)
        seen = here.event(job, "job.lease_expired")
        here.start_worker()
        here.event(job, "job.checkpoint", after=seen)
        os.killpg(frozen.pid, signal.SIGCONT)
        assert here.finished(job).status is JobStatus.SUCCEEDED
        log = tmp_path / "worker.log"
        until(lambda: "no longer holds" in log.read_text(), what="the woken worker to notice")
        assert here.digest(job) == here.digest(reference)
        steps = here.store.metrics(job.id, names=["step"], max_points=10**6)["step"]
        assert steps == list(range(1, here.store.get(job.id).progress.total_steps + 1))
