"""What the holder of a claim may do: begin, record, go back to the queue, succeed or fail. Every write is fenced."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa

from worker.jobs import ledger, metrics, moves, notices, reading, run_warnings, turns
from worker.jobs.errors import LeaseLost
from worker.jobs.moves import Change
from worker.jobs.records import (
    Artifact,
    Checkpoint,
    Claim,
    Directive,
    Flush,
    JobError,
    JobWarning,
    NewCheckpoint,
    NewEvent,
    Start,
    Trouble,
)
from worker.jobs.states import JobStatus
from worker.jobs.submitting import new_id
from worker.jobs.tables import artifacts, checkpoints, jobs, outbox

_DIRECTIVES = {
    JobStatus.RUNNING: Directive.CONTINUE,
    JobStatus.PAUSING: Directive.PAUSE,
    JobStatus.CANCELLING: Directive.CANCEL,
}
_AFTER_SLICE = {
    JobStatus.RUNNING: Change((), {}, JobStatus.QUEUED, moves.HANDOVER),
    JobStatus.PAUSING: Change(
        [NewEvent("job.paused", "The job is paused; its checkpoint is kept.")], {}, JobStatus.PAUSED, "user_request"
    ),
    JobStatus.CANCELLING: Change(
        [NewEvent("job.cancelled", "The job was cancelled.")], {}, JobStatus.CANCELLED, "user_request"
    ),
}
"""What becomes of a job whose slice ends before its training does."""


def claim(connection: sa.Connection, job_id: str, owner: str, lease_until: float, now: float) -> Claim | None:
    """Take a queued job for one slice; None if it is not queued (any more): somebody else was faster, or it ended.

    The rows of metrics after the newest checkpoint are removed in the same transaction, for they will come again.
    """
    row = moves.find(connection, job_id)
    if row is None or row.status is not JobStatus.QUEUED:
        return None
    saved = reading.read_checkpoints(connection, job_id)
    step, epoch = (saved[0].step, saved[0].epoch) if saved else (0, 0)
    attempt = row.attempt + 1
    values = {"attempt": attempt, "lease_owner": owner, "lease_until": lease_until, "queued_at": None}
    values["claimed_at"] = now
    values |= {"started_at": now if row.started_at is None else row.started_at}
    values |= _rewound(connection, job_id, step, epoch)
    data = {"attempt": attempt, "resumed_from_step": step}
    event = NewEvent("job.running", f"Slice {attempt} trains on from step {step}.", data)
    reason = moves.HANDOVER if row.status_reason == moves.HANDOVER else "claimed"
    moves.apply(connection, row, Change([event], values, JobStatus.RUNNING, reason), now)
    turns.begin(connection, row.tenant)
    connection.execute(sa.delete(outbox).where(outbox.c.job_id == job_id))
    start = Start(**row.start) if row.start else None
    return Claim(job_id, attempt, owner, saved, row.total_steps, row.epochs, start)


def _rewound(connection: sa.Connection, job_id: str, step: int, epoch: int) -> dict[str, Any]:
    """Cut the metrics after `step` and return the column values that follow."""
    metrics.truncate(connection, job_id, step)
    ledger.truncate(connection, job_id, step)
    return {"step": step, "epoch": epoch, "skipped_steps": metrics.skipped_steps(connection, job_id)}


def rewind(connection: sa.Connection, held: Claim, to: Checkpoint | None, now: float) -> None:
    """Go back further than the claim did, because newer checkpoints cannot be read: to an older one or the start."""
    row = moves.hold(connection, held)
    step, epoch = (to.step, to.epoch) if to else (0, 0)
    newer = (checkpoints.c.job_id == held.job_id, checkpoints.c.step > step)
    connection.execute(sa.delete(checkpoints).where(*newer))
    values = _rewound(connection, held.job_id, step, epoch)
    data = {"attempt": held.attempt, "resumed_from_step": step}
    event = NewEvent("job.checkpoint_unreadable", f"A checkpoint cannot be read; back to step {step}.", data, "warn")
    moves.apply(connection, row, Change([event], values), now)


def directive(connection: sa.Connection, held: Claim) -> Directive:
    """What the user wants of the slice, without taking a lock.

    Raises:
        LeaseLost: the claim is stale.
    """
    query = sa.select(jobs.c.status, jobs.c.attempt).where(jobs.c.id == held.job_id)
    row = connection.execute(query).one_or_none()
    if row is None or row.attempt != held.attempt or row.status not in _DIRECTIVES:
        raise LeaseLost(held.job_id, held.attempt)
    return _DIRECTIVES[JobStatus(row.status)]


def renew(connection: sa.Connection, held: Claim, lease_until: float, now: float) -> Directive:
    """Keep the job until `lease_until`."""
    row = moves.hold(connection, held)
    moves.apply(connection, row, Change(values={"lease_until": lease_until}), now)
    return _DIRECTIVES[row.status]


def record(connection: sa.Connection, held: Claim, flush: Flush, keep: int, now: float) -> tuple[Checkpoint, ...]:
    """Write what a slice tells; returns the checkpoints that the job no longer needs, whose files may go."""
    row = moves.hold(connection, held)
    if flush.rows:
        metrics.append(connection, held.job_id, flush.rows)
    ledger.note(connection, held.job_id, flush.faults)
    kept, noticed = run_warnings.added(row.run_warnings or (), flush.warnings)
    values: dict[str, Any] = {
        "step": flush.step,
        "epoch": flush.epoch,
        "active_seconds": jobs.c.active_seconds + flush.seconds,
        "active_steps": jobs.c.active_steps + len(flush.rows),
        "skipped_steps": metrics.skipped_steps(connection, held.job_id) if flush.rows else row.skipped_steps,
    }
    if noticed:
        values["run_warnings"] = kept
    if flush.latest:
        values["metrics"] = dict(flush.latest)
    if flush.loss_scale is not None and math.isfinite(flush.loss_scale):
        values["loss_scale"] = flush.loss_scale
    dropped: tuple[Checkpoint, ...] = ()
    if flush.checkpoint is not None:
        # A durable step forward: whatever killed earlier attempts did not stop this one.
        values["lost_leases"] = 0
        dropped = _point_at(connection, held.job_id, flush.checkpoint, keep, now)
    moves.apply(connection, row, Change((*flush.events, *noticed), values), now)
    if flush.rows:
        notices.tell_conditions(connection, held.job_id, flush.rows, values["skipped_steps"], now)
    return dropped


def _point_at(
    connection: sa.Connection, job_id: str, new: NewCheckpoint, keep: int, now: float
) -> tuple[Checkpoint, ...]:
    """Add a row for a durable checkpoint and drop the rows that neither are newest nor hold the best score."""
    here = (checkpoints.c.job_id == job_id, checkpoints.c.step == new.step)
    replaced = tuple(map(reading.checkpoint, connection.execute(sa.select(checkpoints).where(*here))))
    connection.execute(sa.delete(checkpoints).where(*here))
    file = new.artifact
    values = {"id": new_id("ckpt"), "job_id": job_id, "step": new.step, "epoch": new.epoch, "sha256": file.sha256}
    values |= {"size": file.size, "path": file.path, "metrics": dict(new.metrics), "score": new.score}
    connection.execute(sa.insert(checkpoints).values(**values, created_at=now))
    rows = connection.execute(
        sa.select(checkpoints).where(checkpoints.c.job_id == job_id).order_by(checkpoints.c.step.desc())
    ).all()
    scored = [row for row in rows if row.score is not None and math.isfinite(row.score)]
    best = {min(scored, key=lambda row: (row.score, row.step)).id} if scored else set()
    useless = [row for row in rows[keep:] if row.id not in best]
    connection.execute(sa.delete(checkpoints).where(checkpoints.c.id.in_([row.id for row in useless])))
    gone = (*replaced, *map(reading.checkpoint, useless))
    return tuple(old for old in gone if old.path != file.path)


def release(connection: sa.Connection, held: Claim, now: float, *, cut_off: bool = False) -> JobStatus:
    """End the slice before the training ended: back to the queue, or paused or cancelled if that was asked for.

    A job whose slice was cut off, because its worker stops, keeps its turn; one that had its slice goes to the end.
    """
    row = moves.hold(connection, held)
    change = _AFTER_SLICE[row.status]
    if cut_off and change.after is JobStatus.QUEUED:
        change = replace(change, values=moves.same_turn(row))
    moves.apply(connection, row, change, now)
    return _reached(change)


def succeed(
    connection: sa.Connection, held: Claim, files: Sequence[Artifact], warnings: Sequence[JobWarning], now: float
) -> JobStatus:
    """End the job with its files, which are durable; a job that was being cancelled is cancelled all the same."""
    row = moves.hold(connection, held)
    if row.status is JobStatus.CANCELLING:
        return release(connection, held, now)
    saved = reading.read_checkpoints(connection, held.job_id)
    connection.execute(sa.delete(artifacts).where(artifacts.c.job_id == held.job_id))
    rows = [{**asdict(file), "job_id": held.job_id, "created_at": now} for file in files]
    if rows:
        connection.execute(sa.insert(artifacts), rows)
    data = {"artifacts": [{"name": file.name, "sha256": file.sha256, "size": file.size} for file in files]}
    text = f"All {row.total_steps} steps are done." if row.step == row.total_steps else f"{row.step} steps are done."
    kept, noticed = run_warnings.settled(row.run_warnings or (), warnings)
    values = {"checkpoint_id": saved[0].id if saved else None, "run_warnings": kept or None}
    change = Change([*noticed, NewEvent("job.succeeded", text, data)], values, JobStatus.SUCCEEDED, "finished")
    moves.apply(connection, row, change, now)
    return _reached(change)


def give_back(connection: sa.Connection, held: Claim, trouble: Trouble, most: int, now: float) -> JobStatus:
    """End a slice that could not write its files: the job is queued again, and paused when that came `most` times.

    The job goes on from its last checkpoint either way; nobody but the machine is to blame, so it never fails of it.
    """
    row = moves.hold(connection, held)
    if row.status is not JobStatus.RUNNING:
        return release(connection, held, now)
    times = row.lost_leases + 1
    data = {"attempt": held.attempt, "reason": trouble.reason, "times": times}
    delayed = NewEvent("job.delayed", trouble.message, data, "warn")
    if times < most:
        again = NewEvent("job.queued", "The job waits for a worker.")
        change = Change([delayed, again], {"lost_leases": times}, JobStatus.QUEUED, trouble.reason)
    else:
        text = f"The job is paused after {times} slices that could not save; resume it when that is mended."
        change = Change([delayed, NewEvent("job.paused", text)], {"lost_leases": 0}, JobStatus.PAUSED, trouble.reason)
    moves.apply(connection, row, change, now)
    return _reached(change)


def fail(connection: sa.Connection, held: Claim, error: JobError, now: float) -> JobStatus:
    """End the job with an error; a job that was being cancelled is cancelled all the same."""
    row = moves.hold(connection, held)
    if row.status is JobStatus.CANCELLING:
        return release(connection, held, now)
    change = failure(error)
    moves.apply(connection, row, change, now)
    return _reached(change)


def failure(error: JobError) -> Change:
    """The change that fails a job."""
    told = asdict(error)
    event = NewEvent("job.failed", error.message, told, "error")
    return Change([event], {"error": told}, JobStatus.FAILED, error.code)


def _reached(change: Change) -> JobStatus:
    if change.after is None:
        raise ValueError("the change leads to no state")
    return change.after
