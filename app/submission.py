"""From a checked job to a job in the queue: the one way, whichever route it came by."""

from __future__ import annotations

from dataclasses import replace

from app.checks import Checked, missing
from app.deps import Services
from app.quotas import require_room
from worker.jobs.errors import JobNotFound
from worker.jobs.records import Job
from worker.jobs.starting import continues, copied
from worker.jobs.submitting import NewJob
from worker.specs.errors import SpecError


def submit(services: Services, checked: Checked, key: str | None) -> Job:
    """Queue a checked job and announce it.

    Raises:
        IdempotencyMismatch: the key came before with another job.
        Refused: the tenant has as many jobs as it may.
        SpecError: the checkpoint it begins with went away meanwhile.
    """
    require_room(services, 1)
    new = started(services, checked)
    try:
        job = services.store.submit(new, idempotency_key=key, request_hash=checked.digest)
    except BaseException:
        discard(services, new)
        raise
    if job.id != new.id:
        discard(services, new)
    services.waker.wake(job)
    return job


def started(services: Services, checked: Checked) -> NewJob:
    """Return the job with a copy of the checkpoint it begins with, so that it needs the other job no more.

    Raises:
        SpecError: the checkpoint is gone.
    """
    new, source = checked.new, checked.source
    if source is None:
        return new
    try:
        same = continues(new.spec, services.store.spec(source.job_id))
        return replace(new, start=copied(services.artifacts, source, new.id, optimizer=same))
    except JobNotFound as error:
        raise SpecError([missing(str(new.spec["from_checkpoint"]), checked.source_pointer)]) from error


def discard(services: Services, new: NewJob) -> None:
    """Delete the files of a job that was not made."""
    if new.start is not None:
        services.artifacts.delete(new.id)
