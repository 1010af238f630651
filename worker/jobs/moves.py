"""How a job's row changes: one locked row, one compare-and-set, with its events and outbox entry beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from worker.jobs import notices, turns
from worker.jobs.errors import JobNotFound, LeaseLost, TransitionRefused
from worker.jobs.records import Claim, NewEvent
from worker.jobs.states import ALLOWED, LEASED, TERMINAL, JobStatus
from worker.jobs.tables import events, jobs, outbox, transitions

HANDOVER = "slice_end"
"""Why a job waits that only gave its worker back; such changes are not listed among a job's transitions."""


HEAD_START_SECONDS = 60.0
"""How far one level of priority gets ahead of those who wait already."""


def turn(priority: int, now: float) -> float:
    """The time that a job queued now counts from in the queue.

    Each level counts as a minute of waiting. So the higher one goes first, and whoever waits long enough goes before
    it all the same: nobody starves, and the order of two jobs never changes while they wait.
    """
    return now - priority * HEAD_START_SECONDS


@dataclass(frozen=True)
class Locked:
    """The columns that decide about a job, read under its lock; true until the transaction ends."""

    id: str
    tenant: str
    status: JobStatus
    status_reason: str
    attempt: int
    claimed_at: float | None
    lease_until: float | None
    turn_at: float | None
    lost_leases: int
    last_event_id: int
    told_place: int
    started_at: float | None
    step: int
    total_steps: int
    epochs: int
    skipped_steps: int
    priority: int
    start: Mapping[str, Any] | None
    run_warnings: Sequence[Mapping[str, Any]] | None


_CONTROL = tuple(jobs.c[name.name] for name in fields(Locked))

_NO_LEASE: Mapping[str, Any] = {"lease_owner": None, "lease_until": None}


@dataclass(frozen=True)
class Change:
    """What shall happen to a locked job: new column values, events, and perhaps a new state with its reason."""

    events: Sequence[NewEvent] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    after: JobStatus | None = None
    reason: str = ""


def same_turn(row: Locked) -> Mapping[str, Any]:
    """Column values with which a job whose slice was cut off, by no fault of its own, queues again where it stood.

    It goes before all that queued after it; else each lost worker would cost it the whole queue.
    """
    return {} if row.turn_at is None else {"turn_at": row.turn_at}


def find(connection: sa.Connection, job_id: str, *, patient: bool = True) -> Locked | None:
    """Read the job and keep every other writer off it until the transaction ends; None if there is none.

    An impatient caller gets None too if somebody else has the job locked (PostgreSQL; SQLite has one lock for all).
    """
    query = sa.select(*_CONTROL).where(jobs.c.id == job_id).with_for_update(skip_locked=not patient)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Locked(**{**row, "status": JobStatus(row["status"])})


def lock(connection: sa.Connection, job_id: str) -> Locked:
    """The same for a job that must be there.

    Raises:
        JobNotFound: there is no such job.
    """
    row = find(connection, job_id)
    if row is None:
        raise JobNotFound(job_id)
    return row


def hold(connection: sa.Connection, claim: Claim) -> Locked:
    """Lock the claim's job and make sure that the claim is still the one that may write.

    Raises:
        LeaseLost: the job was deleted, taken back, claimed again, or has ended.
    """
    row = find(connection, claim.job_id)
    if row is None or row.attempt != claim.attempt or row.status not in LEASED:
        raise LeaseLost(claim.job_id, claim.attempt)
    return row


def apply(connection: sa.Connection, row: Locked, change: Change, now: float) -> None:
    """Carry out `change` on the job of `row`, which this transaction has locked.

    Raises:
        TransitionRefused: the state does not lead there, or the row is not what it was when locked.
    """
    before = row.status
    last_event_id = write_events(connection, row, change.events, now)
    values = {**change.values, "last_event_id": last_event_id, "told_place": _told(row, change.events)}
    if change.after is not None:
        if change.after not in ALLOWED[before]:
            raise TransitionRefused(row.id, before, change.after.value)
        values = {**_entering(change, row.priority, now), **values}
        _write_transition(connection, row, change, last_event_id, now)
    same = (jobs.c.id == row.id, jobs.c.status == row.status, jobs.c.attempt == row.attempt)
    if connection.execute(sa.update(jobs).where(*same).values(values)).rowcount != 1:
        raise TransitionRefused(row.id, before, "changed by two at once")
    if before in LEASED and change.after is not None and change.after not in LEASED:
        turns.charge(connection, row.tenant, now - (row.claimed_at or now))
    if change.after is JobStatus.QUEUED:
        announce(connection, row.id, row.attempt, now)
    if change.after in TERMINAL:
        notices.tell_end(connection, row.id, f"job.{change.after.value}", now)


def _entering(change: Change, priority: int, now: float) -> dict[str, Any]:
    """Column values that follow from the new state alone."""
    after = change.after
    values: dict[str, Any] = {"status": after, "status_reason": change.reason}
    if after not in LEASED:
        values |= _NO_LEASE
    if after is JobStatus.QUEUED:
        values |= {"queued_at": now, "turn_at": turn(priority, now), "woken_at": None}
    if after in TERMINAL:
        values["finished_at"] = now
    return values


def _told(row: Locked, new: Sequence[NewEvent]) -> int:
    return max([row.told_place, *(event.place for event in new if event.place is not None)])


def write_events(connection: sa.Connection, row: Locked, new: Sequence[NewEvent], now: float) -> int:
    """Append events to the job's log and return the id of its last one.

    Events of places in the run that the log already tells of are left out: a redone step is the same step.
    """
    fresh = [event for event in new if event.place is None or event.place > row.told_place]
    rows = [
        {
            "job_id": row.id,
            "id": number,
            "created_at": now,
            "type": event.type,
            "level": event.level,
            "message": event.message,
            "data": dict(event.data),
        }
        for number, event in enumerate(fresh, row.last_event_id + 1)
    ]
    if rows:
        connection.execute(sa.insert(events), rows)
    return row.last_event_id + len(rows)


def _write_transition(connection: sa.Connection, row: Locked, change: Change, number: int, now: float) -> None:
    if HANDOVER in (change.reason, row.status_reason if change.after is JobStatus.RUNNING else ""):
        return
    values = {"job_id": row.id, "number": number, "at": now, "before": row.status, "after": change.after}
    connection.execute(sa.insert(transitions).values(**values, reason=change.reason))


def announce_new(connection: sa.Connection, job_id: str, now: float) -> None:
    """Put the first wake-up of a job that this transaction made into the outbox."""
    connection.execute(sa.insert(outbox), {"job_id": job_id, "attempt": 0, "created_at": now})


def announce(connection: sa.Connection, job_id: str, attempt: int, now: float) -> None:
    """Put the job's wake-up into the outbox, to be sent once this transaction is durable."""
    same = sa.select(outbox.c.job_id).where(outbox.c.job_id == job_id, outbox.c.attempt == attempt)
    if connection.execute(same).one_or_none() is None:
        connection.execute(sa.insert(outbox), {"job_id": job_id, "attempt": attempt, "created_at": now})
