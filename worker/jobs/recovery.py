"""What the reaper needs: leases that ran out, wake-ups not sent, queued jobs that no message carries."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from worker.jobs import moves
from worker.jobs.moves import Change, Locked
from worker.jobs.records import JobError, NewEvent, Wakeup
from worker.jobs.slices import failure
from worker.jobs.states import LEASED, JobStatus
from worker.jobs.tables import jobs, outbox


@dataclass(frozen=True)
class Lease:
    """Who holds a job until when."""

    job_id: str
    attempt: int
    owner: str
    until: float


def leases(connection: sa.Connection) -> tuple[Lease, ...]:
    """All leases, the ones that ran out too, soonest end first."""
    query = sa.select(jobs.c.id, jobs.c.attempt, jobs.c.lease_owner, jobs.c.lease_until)
    rows = connection.execute(query.where(jobs.c.status.in_(LEASED)).order_by(jobs.c.lease_until))
    return tuple(Lease(row.id, row.attempt, row.lease_owner or "", row.lease_until or 0.0) for row in rows)


def take_back(connection: sa.Connection, lease: Lease, reason: str, max_lost: int, now: float) -> JobStatus | None:
    """Take the job from a holder that is gone; None if the lease is not what it was (renewed, ended, taken).

    A job that lost `max_lost` leases in a row without a checkpoint between fails with `worker_lost`.
    """
    # Whoever has the row locked is at work on it; one that is frozen there must not hold up all other jobs.
    row = moves.find(connection, lease.job_id, patient=False)
    if row is None or row.status not in LEASED or (row.attempt, row.lease_until) != (lease.attempt, lease.until):
        return None
    data = {"attempt": lease.attempt, "owner": lease.owner, "reason": reason}
    lost = NewEvent("job.lease_expired", f"Slice {lease.attempt} lost its worker.", data, "warn")
    change = _after_loss(row, reason, max_lost)
    values = {**change.values, "lost_leases": row.lost_leases + 1}
    moves.apply(connection, row, Change([lost, *change.events], values, change.after, change.reason), now)
    return change.after


def _after_loss(row: Locked, reason: str, max_lost: int) -> Change:
    if row.status is JobStatus.CANCELLING:
        return Change([NewEvent("job.cancelled", "The job was cancelled.")], {}, JobStatus.CANCELLED, "user_request")
    if row.lost_leases + 1 >= max_lost:
        text = f"{max_lost} workers in a row were lost while training this job without saving a checkpoint."
        return failure(JobError("worker_lost", text, step=row.step))
    if row.status is JobStatus.PAUSING:
        return Change([NewEvent("job.paused", "The job is paused.")], {}, JobStatus.PAUSED, "user_request")
    queued = NewEvent("job.queued", "The job waits for a worker.")
    return Change([queued], moves.same_turn(row), JobStatus.QUEUED, reason)


def undelivered(connection: sa.Connection, before: float, now: float, limit: int) -> tuple[Wakeup, ...]:
    """Outbox entries written before `before`, or, as a clock that was set back sees it, after `now`; oldest first."""
    due = sa.or_(outbox.c.created_at <= before, outbox.c.created_at > now)
    query = sa.select(outbox).where(due).order_by(outbox.c.created_at).limit(limit)
    return tuple(Wakeup(row.job_id, row.attempt, row.created_at) for row in connection.execute(query))


def forgotten(connection: sa.Connection, before: float, now: float, limit: int) -> tuple[Wakeup, ...]:
    """Queued jobs announced before `before` and not claimed since, in the queue's order; outbox entries not counted.

    What was announced after `now` was so before a clock was set back, and counts too.
    """
    waits = (jobs.c.status == JobStatus.QUEUED, sa.or_(jobs.c.woken_at <= before, jobs.c.woken_at > now))
    unsent = sa.exists().where(outbox.c.job_id == jobs.c.id)
    query = sa.select(jobs.c.id, jobs.c.attempt, jobs.c.woken_at).where(*waits, ~unsent)
    rows = connection.execute(query.order_by(jobs.c.turn_at, jobs.c.number).limit(limit))
    return tuple(Wakeup(row.id, row.attempt, row.woken_at) for row in rows)


def delivered(connection: sa.Connection, wakeups: Sequence[Wakeup], now: float) -> None:
    """Note that jobs were announced: their outbox entries up to these go, and the time is kept."""
    # In one order, whoever does this: two that lock the same rows would else wait for each other.
    for wakeup in sorted(wakeups, key=lambda wakeup: wakeup.job_id):
        _delivered(connection, wakeup, now)


def _delivered(connection: sa.Connection, wakeup: Wakeup, now: float) -> None:
    # The job's row first, as in every other write: a claim at the same moment would lock the two the other way round.
    waits = (jobs.c.id == wakeup.job_id, jobs.c.attempt == wakeup.attempt, jobs.c.status == JobStatus.QUEUED)
    connection.execute(sa.update(jobs).where(*waits).values(woken_at=now))
    sent = (outbox.c.job_id == wakeup.job_id, outbox.c.attempt <= wakeup.attempt)
    connection.execute(sa.delete(outbox).where(*sent))


def waiting(connection: sa.Connection) -> int:
    """How many jobs are queued."""
    query = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.status == JobStatus.QUEUED)
    return int(connection.execute(query).scalar_one())
