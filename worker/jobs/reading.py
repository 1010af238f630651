"""From rows to records."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from worker.jobs import turns
from worker.jobs.errors import JobNotFound
from worker.jobs.records import (
    Artifact,
    Checkpoint,
    Event,
    Job,
    JobError,
    JobResult,
    Page,
    Progress,
    QueueState,
    Start,
    Transition,
)
from worker.jobs.states import JobStatus
from worker.jobs.tables import artifacts, checkpoints, events, inline_data, jobs, labels, transitions

PAGE_LIMIT = 100
_TRAINS = (JobStatus.RUNNING, JobStatus.QUEUED)

Mine = Sequence[sa.ColumnElement[bool]]
"""Conditions on table `jobs` that hold for the jobs that the caller may know of; none: all of them."""


def require(connection: sa.Connection, job_id: str, mine: Mine) -> None:
    """Make sure that a job that somebody names is his.

    Raises:
        JobNotFound: it is another's, or there is none; the two cannot be told apart.
    """
    if mine and connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id, *mine)).one_or_none() is None:
        raise JobNotFound(job_id)


# Statements that are sent at nearly every request are made once: to make one takes longer than to carry it out.
_JOB = sa.select(jobs).where(jobs.c.id == sa.bindparam("job_id"))
_MINE = _JOB.where(jobs.c.tenant == sa.bindparam("tenant"))


def read_job(connection: sa.Connection, job_id: str, tenant: str | None, now: float) -> Job:
    """The job of an id, of one tenant or (None) of whichever.

    Raises:
        JobNotFound: there is none.
    """
    wanted = {"job_id": job_id} if tenant is None else {"job_id": job_id, "tenant": tenant}
    row = connection.execute(_JOB if tenant is None else _MINE, wanted).one_or_none()
    if row is None:
        raise JobNotFound(job_id)
    return read_jobs(connection, [row], now)[0]


def read_jobs(connection: sa.Connection, rows: Sequence[sa.Row[Any]], now: float) -> tuple[Job, ...]:
    """The jobs of these rows of table `jobs`, in their order."""
    ids = [row.id for row in rows]
    histories = _by_job(connection, _TRANSITIONS, ids)
    ended = [row.id for row in rows if row.status == JobStatus.SUCCEEDED]
    files = _by_job(connection, _ARTIFACTS, ended) if ended else {}
    places = turns.places(connection, [row for row in rows if row.status == JobStatus.QUEUED], now)
    ends = _estimates(connection, rows, now)
    return tuple(
        _job(row, histories.get(row.id, []), files.get(row.id, []), places.get(row.id), ends.get(row.id))
        for row in rows
    )


def _summary(row: Any) -> Mapping[str, Any]:
    """What the check learnt, with the warnings that the run found behind its own."""
    if not row.run_warnings:
        return dict(row.summary)
    return {**row.summary, "warnings": [*row.summary.get("warnings", ()), *row.run_warnings]}


def _job(
    row: sa.Row[Any], history: Sequence[sa.Row[Any]], files: Sequence[sa.Row[Any]], place: int | None, end: float | None
) -> Job:
    result = JobResult(row.checkpoint_id, tuple(map(artifact, files)))
    return Job(
        id=row.id,
        status=JobStatus(row.status),
        status_reason=row.status_reason,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        spec=row.spec,
        summary=_summary(row),
        progress=Progress(row.step, row.total_steps, row.epoch, row.epochs),
        estimated_finish=end,
        queue_position=place,
        attempt=row.attempt,
        metrics=row.metrics,
        loss_scale=row.loss_scale,
        skipped_steps=row.skipped_steps,
        error=JobError(**row.error) if row.error else None,
        result=result if row.status == JobStatus.SUCCEEDED else None,
        transitions=tuple(map(_transition, history)),
        last_event_id=row.last_event_id,
        priority=row.priority,
        start=Start(**row.start) if row.start else None,
    )


def _seconds_left(row: sa.Row[Any]) -> float | None:
    """How long the job would train on at its own pace so far; None where that is not known."""
    if row.status not in _TRAINS or not row.active_steps:
        return None
    return float((row.total_steps - row.step) * row.active_seconds / row.active_steps)


def _estimates(connection: sa.Connection, rows: Sequence[sa.Row[Any]], now: float) -> Mapping[str, float]:
    """When jobs would end at their own pace and their present share of the workers, by job id."""
    left = {row.id: (row.tenant, seconds) for row in rows if (seconds := _seconds_left(row)) is not None}
    rates = turns.rates(connection, sorted({tenant for tenant, _ in left.values()}))
    return {job_id: now + seconds / rates[tenant] for job_id, (tenant, seconds) in left.items()}


def _transition(row: sa.Row[Any]) -> Transition:
    return Transition(row.at, JobStatus(row.before) if row.before else None, JobStatus(row.after), row.reason)


def artifact(row: sa.Row[Any]) -> Artifact:
    """A row of table `artifacts`."""
    return Artifact(row.name, row.sha256, row.size, row.path, row.created_at)


def checkpoint(row: sa.Row[Any]) -> Checkpoint:
    """A row of table `checkpoints`."""
    return Checkpoint(
        row.id, row.job_id, row.step, row.epoch, row.sha256, row.size, row.path, row.metrics, row.created_at
    )


def _of_jobs(table: sa.Table, order: sa.Column[Any]) -> sa.Select[Any]:
    return sa.select(table).where(table.c.job_id.in_(sa.bindparam("job_ids", expanding=True))).order_by(order)


_TRANSITIONS = _of_jobs(transitions, transitions.c.number)
_ARTIFACTS = _of_jobs(artifacts, artifacts.c.name)


def _by_job(connection: sa.Connection, query: sa.Select[Any], ids: Sequence[str]) -> dict[str, list[sa.Row[Any]]]:
    found: dict[str, list[sa.Row[Any]]] = {}
    for row in connection.execute(query, {"job_ids": ids}):
        found.setdefault(row.job_id, []).append(row)
    return found


def find_checkpoint(connection: sa.Connection, name: str, mine: Mine = ()) -> Checkpoint | None:
    """The checkpoint of an id, or the newest of a job's; None if there is none."""
    named = sa.or_(checkpoints.c.id == name, checkpoints.c.job_id == name)
    query = sa.select(checkpoints).join(jobs).where(named, *mine).order_by(checkpoints.c.step.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else checkpoint(row)


def read_page(
    connection: sa.Connection,
    now: float,
    after: int | None,
    limit: int,
    ascending: bool,
    filters: Sequence[sa.ColumnElement[bool]],
    mine: Mine = (),
) -> Page:
    """Up to `limit` jobs behind the cursor `after` (a job's number) that pass all filters."""
    number = jobs.c.number
    query = sa.select(jobs).where(*mine, *filters).order_by(number if ascending else number.desc()).limit(limit + 1)
    if after is not None:
        query = query.where(number > after if ascending else number < after)
    rows = connection.execute(query).all()
    return Page(read_jobs(connection, rows[:limit], now), len(rows) > limit)


def page_filters(
    statuses: Sequence[JobStatus], created_after: float | None, metadata: Mapping[str, str]
) -> list[sa.ColumnElement[bool]]:
    """Conditions of a list call; every given one must hold."""
    filters: list[sa.ColumnElement[bool]] = []
    if statuses:
        filters.append(jobs.c.status.in_(statuses))
    if created_after is not None:
        filters.append(jobs.c.created_at > created_after)
    for key, value in metadata.items():
        if not (_storable(key) and _storable(value)):
            filters.append(sa.false())
            continue
        mine = (labels.c.job_id == jobs.c.id, labels.c.key == key, labels.c.value == value)
        filters.append(sa.exists().where(*mine))
    return filters


def _storable(text: str) -> bool:
    """Whether every database could hold the text; what none can hold, none has."""
    return "\x00" not in text and text.encode("utf-8", "replace").decode() == text


def read_events(connection: sa.Connection, job_id: str, after: int, limit: int) -> tuple[Event, ...]:
    """Up to `limit` events of the job with ids above `after`, in order."""
    query = sa.select(events).where(events.c.job_id == job_id, events.c.id > after).order_by(events.c.id).limit(limit)
    return tuple(map(_event, connection.execute(query)))


def read_events_back(connection: sa.Connection, job_id: str, before: int | None, limit: int) -> tuple[Event, ...]:
    """Up to `limit` events of the job with ids below `before` (None: all), the newest first."""
    query = sa.select(events).where(events.c.job_id == job_id).order_by(events.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(events.c.id < before)
    return tuple(map(_event, connection.execute(query)))


def _event(row: sa.Row[Any]) -> Event:
    return Event(row.id, row.job_id, row.created_at, row.type, row.level, row.message, row.data)


def read_checkpoints(connection: sa.Connection, job_id: str) -> tuple[Checkpoint, ...]:
    """The job's checkpoints, newest first."""
    query = sa.select(checkpoints).where(checkpoints.c.job_id == job_id).order_by(checkpoints.c.step.desc())
    return tuple(map(checkpoint, connection.execute(query)))


def read_artifacts(connection: sa.Connection, job_id: str) -> tuple[Artifact, ...]:
    """The job's files, by name."""
    query = sa.select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.name)
    return tuple(map(artifact, connection.execute(query)))


def read_spec(connection: sa.Connection, job_id: str) -> dict[str, Any] | None:
    """The spec as it was sent, inline data included; None if there is no such job."""
    query = sa.select(jobs.c.spec, inline_data.c.body).join(inline_data, isouter=True).where(jobs.c.id == job_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return {**row.spec, "data": row.body} if row.body is not None else dict(row.spec)


def read_queue(connection: sa.Connection, mine: Mine) -> QueueState:
    """How many of the caller's jobs are in each state, and since when the first of them waits."""
    counts = connection.execute(sa.select(jobs.c.status, sa.func.count()).where(*mine).group_by(jobs.c.status)).all()
    oldest = sa.select(sa.func.min(jobs.c.queued_at)).where(jobs.c.status == JobStatus.QUEUED, *mine)
    return QueueState({JobStatus(status): count for status, count in counts}, connection.execute(oldest).scalar_one())
