"""A disk that is full or broken while a slice wants to save: the job waits for better times and changes no bit."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from tests.worker.fakes import EPOCHS, SPEC, TOTAL, FakeTrainer
from worker.jobs.artifacts import ArtifactStore, Writer
from worker.jobs.records import Artifact, Job
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.runner import RunnerDeps, SliceOutcome, run_slice
from worker.settings import WorkerSettings


@pytest.fixture
def deps(store: JobStore, artifacts: ArtifactStore, settings: WorkerSettings) -> RunnerDeps:
    trainer = FakeTrainer()
    return RunnerDeps(store, artifacts, lambda spec: trainer, settings, "me")


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(SPEC, total_steps=TOTAL, epochs=EPOCHS)


def timed(deps: RunnerDeps, **seconds: float) -> RunnerDeps:
    return replace(deps, settings=deps.settings.model_copy(update=seconds))


def to_the_end(job_id: str, deps: RunnerDeps) -> list[SliceOutcome]:
    outcomes = [run_slice(job_id, deps)]
    while outcomes[-1] is SliceOutcome.QUEUED:
        outcomes.append(run_slice(job_id, deps))
    return outcomes


def digests(store: JobStore, job_id: str) -> dict[str, str]:
    return {made.name: made.sha256 for made in store.artifacts(job_id)}


def types(store: JobStore, job_id: str) -> list[str]:
    return [event.type for event in store.events(job_id)]


class FullDisk(ArtifactStore):
    """Artifacts on a disk that somebody fills up, and makes room on again."""

    error: Exception | None = None

    def put(self, job_id: str, name: str, content: bytes | Writer) -> Artifact:
        if self.error is not None:
            raise self.error
        return super().put(job_id, name, content)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "storage_full"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "storage_full"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "storage_trouble"),
        (EndpointConnectionError(endpoint_url="https://s3.example"), "storage_trouble"),
    ],
    ids=["full", "quota", "broken", "S3 away"],
)
def test_a_job_that_cannot_be_saved_waits_and_changes_no_bit(
    error: Exception, reason: str, store: JobStore, artifacts: ArtifactStore, deps: RunnerDeps, job: Job, tmp_path: Path
):
    reference = store.create(SPEC, total_steps=TOTAL, epochs=EPOCHS)
    run_slice(reference.id, deps)
    disk = FullDisk(f"file://{tmp_path / 'disk'}")
    short = timed(replace(deps, artifacts=disk), slice_seconds=0.0)
    assert run_slice(job.id, short) is SliceOutcome.QUEUED
    disk.error = error
    assert run_slice(job.id, short) is SliceOutcome.DELAYED
    delayed = store.get(job.id)
    assert (delayed.status, delayed.status_reason, delayed.error) == (JobStatus.QUEUED, reason, None)
    disk.error = None
    assert to_the_end(job.id, short)[-1] is SliceOutcome.SUCCEEDED
    assert digests(store, job.id) == digests(store, reference.id)
    assert store.metrics(job.id) == store.metrics(reference.id)


def test_a_job_that_can_never_be_saved_is_paused_until_there_is_room(
    store: JobStore, deps: RunnerDeps, job: Job, tmp_path: Path
):
    disk = FullDisk(f"file://{tmp_path / 'disk'}")
    full = replace(deps, artifacts=disk)
    disk.error = OSError(errno.ENOSPC, "No space left on device")
    most = deps.settings.max_lost_leases
    outcomes = [run_slice(job.id, full) for _ in range(most)]
    assert outcomes == [SliceOutcome.DELAYED] * (most - 1) + [SliceOutcome.PAUSED]
    assert store.get(job.id).status_reason == "storage_full"
    assert types(store, job.id)[-2:] == ["job.delayed", "job.paused"]
    disk.error = None
    store.request_resume(job.id)
    assert run_slice(job.id, full) is SliceOutcome.SUCCEEDED
