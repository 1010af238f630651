"""How a job comes in and goes: creation in one transaction, what users ask of it, deletion."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import sqlalchemy as sa

from worker.jobs import moves, turns
from worker.jobs.database import Encoded
from worker.jobs.errors import IdempotencyMismatch, JobNotFound, TransitionRefused
from worker.jobs.moves import Change
from worker.jobs.notices import NewWebhook
from worker.jobs.records import NOTHING, NewEvent, Start
from worker.jobs.states import TERMINAL, JobStatus
from worker.jobs.tables import (
    events,
    file_uses,
    files,
    idempotency_keys,
    inline_data,
    jobs,
    labels,
    transitions,
    webhooks,
)

_INLINE = frozenset({"x", "y"})


@dataclass(frozen=True)
class NewJob:
    """A checked job; `NewJob.of` makes it of a JobSpec.

    Attributes:
        spec: the JobSpec as it is shown: of inline data only the number of samples.
        total_steps: training steps of the whole job.
        epochs: of the whole job.
        summary: what the check learnt and the API shows.
        stored: bytes that the job takes in the database.
        inline: its inline data as JSON text, so that nobody encodes it a second time; None if it has none.
        id: of the job to be; known early, so that files can lie ready for it.
        start: the copied checkpoint it begins with, or None.
        webhooks: who is to be told of it; the spec does not hold them, for it is shown.
    """

    spec: Mapping[str, Any]
    total_steps: int
    epochs: int
    summary: Mapping[str, Any]
    stored: int
    inline: Encoded | None = None
    id: str = field(default_factory=lambda: new_id("job"))
    start: Start | None = None
    webhooks: tuple[NewWebhook, ...] = ()

    @classmethod
    def of(
        cls,
        spec: Mapping[str, Any],
        total_steps: int,
        epochs: int,
        summary: Mapping[str, Any] = NOTHING,
        webhooks: tuple[NewWebhook, ...] = (),
    ) -> Self:
        """Return the job of a whole JobSpec; inline data is encoded here, which may take seconds."""
        shown = abbreviated(spec)
        inline = Encoded.of(spec["data"]) if _is_inline(spec.get("data")) else None
        stored = len(json.dumps(shown)) + (0 if inline is None else len(inline.text))
        return cls(shown, total_steps, epochs, dict(summary), stored, inline, webhooks=webhooks)


def new_id(prefix: str) -> str:
    """A name that nobody has or guesses, such as `job-4f9c...`."""
    return f"{prefix}-{secrets.token_hex(12)}"


def replayed(connection: sa.Connection, tenant: str, key: str, request_hash: str) -> str | None:
    """The id of the job that this key of the tenant made before, or None.

    Raises:
        IdempotencyMismatch: the key came with another request.
    """
    keys = idempotency_keys
    row = connection.execute(sa.select(keys).where(keys.c.tenant == tenant, keys.c.key == key)).one_or_none()
    if row is not None and row.request_hash != request_hash:
        raise IdempotencyMismatch(key)
    return None if row is None else str(row.job_id)


def insert(connection: sa.Connection, tenant: str, new: NewJob, now: float) -> None:
    """Write the tenant's job, its first events and its wake-up; it is queued as soon as the transaction is durable.

    Raises:
        JobNotFound: the file of its data was deleted since the job was checked.
    """
    file_id, new = _pinned(connection, tenant, new)
    job_id = new.id
    connection.execute(sa.insert(jobs), {"tenant": tenant, **_columns(new, now)})
    if file_id is not None:
        connection.execute(sa.insert(file_uses).values(job_id=job_id, file_id=file_id))
    if new.inline is not None:
        connection.execute(sa.insert(inline_data).values(job_id=job_id, body=new.inline))
    pairs = [{"job_id": job_id, "key": key, "value": value} for key, value in _labels(new.spec).items()]
    if pairs:
        connection.execute(sa.insert(labels), pairs)
    for hook in new.webhooks:
        insert_webhook(connection, tenant, job_id, hook, now)
    turns.enter(connection, tenant)
    _write_history(connection, job_id, now)
    moves.announce_new(connection, job_id, now)


def insert_webhook(connection: sa.Connection, tenant: str, job_id: str | None, new: NewWebhook, now: float) -> str:
    """Write a webhook of one job, or of all of the tenant's; returns its id."""
    values: dict[str, Any] = {
        "id": new_id("whk"),
        "tenant": tenant,
        "job_id": job_id,
        "url": new.url,
        "secret": new.secret,
    }
    values |= {"events": list(new.events), "condition": new.condition and dict(new.condition), "created_at": now}
    connection.execute(sa.insert(webhooks).values(**values))
    return str(values["id"])


def _pinned(connection: sa.Connection, tenant: str, new: NewJob) -> tuple[str | None, NewJob]:
    """Return the file that the job is trained on, kept from deletion, and the job with the file's SHA-256 in it."""
    data = new.spec.get("data")
    file_id = data.get("file") if isinstance(data, Mapping) else None
    if file_id is None:
        return None, new
    mine = sa.select(files.c.sha256).where(
        files.c.id == file_id, files.c.tenant == tenant, files.c.deleted_at.is_(None)
    )
    sha256 = connection.execute(mine.with_for_update(read=True)).scalar_one_or_none()
    if sha256 is None:
        raise JobNotFound(str(file_id))
    return str(file_id), replace(new, spec={**new.spec, "data": {**dict(data or {}), "sha256": sha256}})


def remember_key(connection: sa.Connection, tenant: str, key: str, request_hash: str, job_id: str, now: float) -> None:
    """Bind the idempotency key to the job it made; a second process doing so at once fails on the primary key."""
    values = {"tenant": tenant, "key": key, "request_hash": request_hash, "job_id": job_id, "created_at": now}
    connection.execute(sa.insert(idempotency_keys).values(**values))


def _columns(new: NewJob, now: float) -> dict[str, Any]:
    priority = int(new.spec.get("priority", 0))
    return {
        "id": new.id,
        "status": JobStatus.QUEUED,
        "status_reason": "created",
        "created_at": now,
        "queued_at": now,
        "priority": priority,
        "turn_at": moves.turn(priority, now),
        "start": asdict(new.start) if new.start else None,
        "spec": dict(new.spec),
        "summary": dict(new.summary),
        "step": 0,
        "total_steps": new.total_steps,
        "epoch": 0,
        "epochs": new.epochs,
        "active_seconds": 0.0,
        "active_steps": 0,
        "metrics": {},
        "skipped_steps": 0,
        "attempt": 0,
        "lost_leases": 0,
        "last_event_id": 2,
        "told_place": 0,
        "stored": new.stored,
    }


def _write_history(connection: sa.Connection, job_id: str, now: float) -> None:
    first = {"job_id": job_id, "created_at": now, "level": "info", "data": {}}
    lines = [("job.created", "The job was accepted."), ("job.queued", "The job waits for a worker.")]
    rows = [{**first, "id": number, "type": kind, "message": text} for number, (kind, text) in enumerate(lines, 1)]
    connection.execute(sa.insert(events), rows)
    step = {"job_id": job_id, "number": 2, "at": now, "before": None, "after": JobStatus.QUEUED, "reason": "created"}
    connection.execute(sa.insert(transitions), step)


def _is_inline(data: Any) -> bool:
    return isinstance(data, Mapping) and "file" not in data and not _INLINE.isdisjoint(data)


def abbreviated(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job as it is shown: of data inside it only how many samples there are."""
    data = spec.get("data")
    if not _is_inline(data):
        return dict(spec)
    x = data.get("x") if isinstance(data, Mapping) else None
    samples = len(x) if isinstance(x, list | tuple) else None
    return {**spec, "data": {"inline": {"samples": samples}}}


def _labels(spec: Mapping[str, Any]) -> Mapping[str, str]:
    return spec.get("metadata") or NOTHING


@dataclass(frozen=True)
class Request:
    """Something a user may ask of a job: from which state it leads where, and where it is done already."""

    wanted: str
    ways: Mapping[JobStatus, JobStatus]
    settled: frozenset[JobStatus]


CANCEL = Request(
    "cancelled",
    {
        JobStatus.VALIDATING: JobStatus.CANCELLED,
        JobStatus.QUEUED: JobStatus.CANCELLED,
        JobStatus.PAUSED: JobStatus.CANCELLED,
        JobStatus.RUNNING: JobStatus.CANCELLING,
        JobStatus.PAUSING: JobStatus.CANCELLING,
    },
    frozenset({JobStatus.CANCELLING, JobStatus.CANCELLED}),
)
PAUSE = Request(
    "paused",
    {JobStatus.QUEUED: JobStatus.PAUSED, JobStatus.RUNNING: JobStatus.PAUSING},
    frozenset({JobStatus.PAUSING, JobStatus.PAUSED}),
)
RESUME = Request(
    "resumed",
    {JobStatus.PAUSED: JobStatus.QUEUED, JobStatus.PAUSING: JobStatus.RUNNING},
    frozenset(),
)


def ask(connection: sa.Connection, job_id: str, request: Request, now: float) -> None:
    """Change the job as the user wants, or leave it where it already is as wanted.

    Raises:
        JobNotFound: there is no such job.
        TransitionRefused: the job's state forbids it.
    """
    row = moves.lock(connection, job_id)
    before = row.status
    if before in request.settled:
        return
    if before not in request.ways:
        raise TransitionRefused(job_id, before, request.wanted)
    after = request.ways[before]
    event = NewEvent(f"job.{after.value}", f"The user asked for the job to be {request.wanted}.")
    moves.apply(connection, row, Change(events=[event], after=after, reason="user_request"), now)


def delete(connection: sa.Connection, job_id: str) -> None:
    """Forget a job that has ended, with everything that hangs on it.

    Raises:
        JobNotFound: there is no such job.
        TransitionRefused: the job has not ended.
    """
    row = moves.lock(connection, job_id)
    if row.status not in TERMINAL:
        raise TransitionRefused(job_id, row.status, "deleted before it has ended")
    connection.execute(sa.delete(jobs).where(jobs.c.id == job_id))
