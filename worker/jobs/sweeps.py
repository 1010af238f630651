"""Sweeps: jobs that are made, looked at, cancelled and deleted together."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from worker.jobs import database, reading, submitting, tenants
from worker.jobs.errors import IdempotencyMismatch, JobNotFound, TransitionRefused
from worker.jobs.records import NOTHING, Job
from worker.jobs.states import TERMINAL, JobStatus
from worker.jobs.store import Clock
from worker.jobs.submitting import NewJob, new_id
from worker.jobs.tables import checkpoints, jobs, sweep_jobs, sweeps


@dataclass(frozen=True)
class Point:
    """One place of a grid: what its job has there, by JSON pointer."""

    values: Mapping[str, Any]
    job: NewJob


@dataclass(frozen=True)
class NewSweep:
    """A checked sweep, every job of it checked too."""

    grid: Mapping[str, Sequence[Any]]
    points: tuple[Point, ...]
    suffix: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """A job of a sweep. `best` are the metrics of its best checkpoint, `score` what made it that (lower is better)."""

    values: Mapping[str, Any]
    job: Job
    best: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep at one moment; `counts` has the number of its jobs in each state."""

    id: str
    created_at: float
    grid: Mapping[str, Sequence[Any]]
    suffix: str | None
    metadata: Mapping[str, str]
    counts: Mapping[JobStatus, int]

    @property
    def status(self) -> str:
        """`running` until every job has ended; then `failed` or `cancelled` if any did, else `succeeded`."""
        if any(count for status, count in self.counts.items() if status not in TERMINAL):
            return "running"
        worst = (JobStatus.FAILED, JobStatus.CANCELLED)
        return next((status.value for status in worst if self.counts.get(status)), JobStatus.SUCCEEDED.value)


class SweepStore:
    """One tenant's sweeps, in the database of the jobs; every method is one transaction."""

    def __init__(self, engine: sa.Engine, clock: Clock = time.time, tenant: str = tenants.DEFAULT) -> None:
        self._engine = engine
        self._clock = clock
        self._tenant = tenant
        self._mine = sweeps.c.tenant == tenant

    def of(self, tenant: str) -> "SweepStore":
        """The same store as one tenant sees it."""
        return SweepStore(self._engine, self._clock, tenant)

    @contextmanager
    def _write(self) -> Iterator[tuple[sa.Connection, float]]:
        with database.writing(self._engine) as connection:
            yield connection, self._clock()

    def create(self, new: NewSweep, *, idempotency_key: str | None = None, request_hash: str = "") -> Sweep:
        """Queue all jobs of a sweep, or none.

        With an idempotency key that came before, the sweep it made then is returned and nothing is written.

        Raises:
            IdempotencyMismatch: the key came before with another `request_hash`.
        """
        try:
            return self.get(self._create(new, idempotency_key, request_hash))
        except sa.exc.IntegrityError:
            # Another process used the same key while we wrote; now its sweep is there to be found.
            return self.get(self._create(new, idempotency_key, request_hash))

    def replayed(self, key: str, request_hash: str) -> Sweep | None:
        """The sweep that an idempotency key made before; None if it is new. Raises: IdempotencyMismatch."""
        with database.reading(self._engine) as connection:
            sweep_id = _replayed(connection, self._mine, key, request_hash)
        return None if sweep_id is None else self.get(sweep_id)

    def _create(self, new: NewSweep, key: str | None, request_hash: str) -> str:
        with self._write() as (connection, now):
            known = None if key is None else _replayed(connection, self._mine, key, request_hash)
            if known is not None:
                return known
            sweep_id = new_id("sweep")
            values = {
                "id": sweep_id,
                "tenant": self._tenant,
                "created_at": now,
                "grid": dict(new.grid),
                "suffix": new.suffix,
            }
            values |= {"metadata": dict(new.metadata), "idempotency_key": key, "request_hash": request_hash}
            connection.execute(sa.insert(sweeps).values(**values))
            for place, point in enumerate(new.points):
                submitting.insert(connection, self._tenant, point.job, now)
                row = {"job_id": point.job.id, "sweep_id": sweep_id, "place": place, "point": dict(point.values)}
                connection.execute(sa.insert(sweep_jobs).values(**row))
            return sweep_id

    def get(self, sweep_id: str) -> Sweep:
        """The sweep as it is now.

        Raises:
            JobNotFound: there is none.
        """
        with database.reading(self._engine) as connection:
            row = connection.execute(sa.select(sweeps).where(sweeps.c.id == sweep_id, self._mine)).one_or_none()
            if row is None:
                raise JobNotFound(sweep_id)
            return _sweeps(connection, [row])[0]

    def trials(self, sweep_id: str) -> tuple[Trial, ...]:
        """The sweep's jobs in the order of the grid; deleted ones are missing."""
        with database.reading(self._engine) as connection:
            query = sa.select(sweep_jobs).join(sweeps).where(sweeps.c.id == sweep_id, self._mine)
            query = query.order_by(sweep_jobs.c.place)
            points = {row.job_id: row.point for row in connection.execute(query)}
            rows = {row.id: row for row in connection.execute(sa.select(jobs).where(jobs.c.id.in_(points)))}
            found = reading.read_jobs(connection, [rows[job_id] for job_id in points], self._clock())
            best = _best(connection, list(points))
        return tuple(Trial(points[job.id], job, *best.get(job.id, (NOTHING, None))) for job in found)

    def page(self, *, after: str | None = None, limit: int = 20) -> tuple[tuple[Sweep, ...], bool]:
        """Up to `limit` sweeps, newest first, and whether more follow.

        Raises:
            JobNotFound: `after` names no sweep.
        """
        query = sa.select(sweeps).where(self._mine).order_by(sweeps.c.number.desc()).limit(limit + 1)
        with database.reading(self._engine) as connection:
            if after is not None:
                number = connection.execute(
                    sa.select(sweeps.c.number).where(sweeps.c.id == after, self._mine)
                ).scalar_one_or_none()
                if number is None:
                    raise JobNotFound(after)
                query = query.where(sweeps.c.number < number)
            rows = connection.execute(query).all()
            return _sweeps(connection, rows[:limit]), len(rows) > limit

    def cancel(self, sweep_id: str) -> Sweep:
        """Cancel every job that has not ended, all in one transaction.

        Raises:
            JobNotFound: there is no such sweep.
        """
        self.get(sweep_id)
        with self._write() as (connection, now):
            for job_id, status in _members(connection, sweep_id):
                if status not in TERMINAL:
                    _cancel(connection, job_id, now)
        return self.get(sweep_id)

    def delete(self, sweep_id: str) -> tuple[str, ...]:
        """Forget a sweep and its jobs; returns their ids, whose files are the caller's to delete.

        Raises:
            JobNotFound: there is no such sweep.
            TransitionRefused: a job of it has not ended.
        """
        self.get(sweep_id)
        with self._write() as (connection, _):
            ids = [job_id for job_id, _ in _members(connection, sweep_id)]
            for job_id in ids:
                submitting.delete(connection, job_id)
            connection.execute(sa.delete(sweeps).where(sweeps.c.id == sweep_id))
        return tuple(ids)


def _cancel(connection: sa.Connection, job_id: str, now: float) -> None:
    try:
        submitting.ask(connection, job_id, submitting.CANCEL, now)
    except TransitionRefused:
        return  # it ended between the look and the lock


def _replayed(connection: sa.Connection, mine: sa.ColumnElement[bool], key: str, request_hash: str) -> str | None:
    query = sa.select(sweeps.c.id, sweeps.c.request_hash).where(mine, sweeps.c.idempotency_key == key)
    row = connection.execute(query).one_or_none()
    if row is not None and row.request_hash != request_hash:
        raise IdempotencyMismatch(key)
    return None if row is None else str(row.id)


def _members(connection: sa.Connection, sweep_id: str) -> list[tuple[str, JobStatus]]:
    """In the order in which jobs were made, so that two who lock them all cannot lock each other out."""
    mine = sa.select(sweep_jobs.c.job_id).where(sweep_jobs.c.sweep_id == sweep_id)
    query = sa.select(jobs.c.id, jobs.c.status).where(jobs.c.id.in_(mine)).order_by(jobs.c.number)
    return [(row.id, JobStatus(row.status)) for row in connection.execute(query)]


def _sweeps(connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> tuple[Sweep, ...]:
    ids = [row.id for row in rows]
    query = sa.select(sweep_jobs.c.sweep_id, jobs.c.status, sa.func.count().label("jobs")).join(jobs)
    query = query.where(sweep_jobs.c.sweep_id.in_(ids)).group_by(sweep_jobs.c.sweep_id, jobs.c.status)
    counts: dict[str, Counter[JobStatus]] = {sweep_id: Counter() for sweep_id in ids}
    for row in connection.execute(query):
        counts[row.sweep_id][JobStatus(row.status)] = row.jobs
    return tuple(
        Sweep(row.id, row.created_at, row.grid, row.suffix, row._mapping["metadata"], counts[row.id]) for row in rows
    )


def _best(connection: sa.Connection, ids: Sequence[str]) -> dict[str, tuple[Mapping[str, Any], float]]:
    """Of each job the metrics and the score of its best checkpoint."""
    scored = sa.select(checkpoints).where(checkpoints.c.job_id.in_(ids), checkpoints.c.score.is_not(None))
    rows = connection.execute(scored.order_by(checkpoints.c.score.desc(), checkpoints.c.step.desc()))
    return {row.job_id: (row.metrics, row.score) for row in rows}
