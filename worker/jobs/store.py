"""The store of jobs: the one place that opens transactions on them. The row is the truth; everything else follows."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from worker.jobs import database, ledger, metrics, reading, recovery, slices, submitting, tenants, turns
from worker.jobs.errors import JobNotFound
from worker.jobs.records import (
    NOTHING,
    Artifact,
    Checkpoint,
    Claim,
    Directive,
    Event,
    Flush,
    Job,
    JobError,
    JobWarning,
    Page,
    QueueState,
    StepFault,
    Trouble,
    Wakeup,
)
from worker.jobs.recovery import Lease
from worker.jobs.states import JobStatus
from worker.jobs.submitting import NewJob
from worker.jobs.tables import jobs
from worker.jobs.usage import Usage, read_usage

Clock = Callable[[], float]


class JobStore:
    """Jobs on SQLite or PostgreSQL. Safe to share between threads; make a new one after a fork.

    Every method is one transaction. Methods that take a `Claim` are fenced: they raise `LeaseLost` and write nothing
    once the job was taken back, claimed again, deleted, or has ended.

    Args:
        engine: from `worker.jobs.database.create`; the schema must be migrated.
        clock: unix seconds.
        tenant: whose jobs these are: to the methods for users, no other's exist. None is for the service itself,
            which sees all; what it creates belongs to the default tenant.
    """

    def __init__(self, engine: sa.Engine, clock: Clock = time.time, tenant: str | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self._tenant = tenants.DEFAULT if tenant is None else tenant
        self._only = tenant
        self._mine = () if tenant is None else (jobs.c.tenant == tenant,)

    def of(self, tenant: str) -> "JobStore":
        """The same store as one tenant sees it."""
        return JobStore(self._engine, self._clock, tenant)

    @contextmanager
    def _write(self) -> Iterator[tuple[sa.Connection, float]]:
        with database.writing(self._engine) as connection:
            yield connection, self._clock()

    @contextmanager
    def _look(self, job_id: str) -> Iterator[sa.Connection]:
        """Look at what hangs on a job. Raises: JobNotFound, it is another tenant's."""
        with database.reading(self._engine) as connection:
            reading.require(connection, job_id, self._mine)
            yield connection

    # ------------------------------------------------------------------ users

    def create(
        self,
        spec: Mapping[str, Any],
        *,
        total_steps: int,
        epochs: int,
        summary: Mapping[str, Any] = NOTHING,
        idempotency_key: str | None = None,
        request_hash: str | None = None,
    ) -> Job:
        """Queue a checked job: job, first events, wake-up and idempotency key in one transaction.

        With an idempotency key that came before, the job it made then is returned and nothing is written.

        Args:
            spec: the JobSpec as JSON.
            total_steps: training steps of the whole job.
            epochs: epochs of the whole job.
            summary: what the check learnt and the API shows, as JSON.
            idempotency_key: the client's name for this request.
            request_hash: what tells requests of the same key apart.

        Raises:
            IdempotencyMismatch: the key came before with another `request_hash`.
        """
        new = NewJob.of(spec, total_steps, epochs, summary)
        return self.submit(new, idempotency_key=idempotency_key, request_hash=request_hash)

    def submit(self, new: NewJob, *, idempotency_key: str | None = None, request_hash: str | None = None) -> Job:
        """The same for a job whose id is chosen already; the job of a key that came before has another."""
        try:
            return self.get(self._create(new, idempotency_key, request_hash or ""))
        except sa.exc.IntegrityError:
            # Another process bound the same key while we wrote; now its job is there to be found.
            return self.get(self._create(new, idempotency_key, request_hash or ""))

    def replayed(self, key: str, request_hash: str) -> Job | None:
        """The job that an idempotency key made before; None if it is new. Raises: IdempotencyMismatch."""
        with database.reading(self._engine) as connection:
            job_id = submitting.replayed(connection, self._tenant, key, request_hash)
        return None if job_id is None else self.get(job_id)

    def _create(self, new: NewJob, key: str | None, request_hash: str) -> str:
        with self._write() as (connection, now):
            known = submitting.replayed(connection, self._tenant, key, request_hash) if key is not None else None
            if known is not None:
                return known
            submitting.insert(connection, self._tenant, new, now)
            if key is not None:
                submitting.remember_key(connection, self._tenant, key, request_hash, new.id, now)
            return new.id

    def get(self, job_id: str) -> Job:
        """The job as it is now. Raises: JobNotFound."""
        with database.reading(self._engine) as connection:
            return reading.read_job(connection, job_id, self._only, self._clock())

    def spec(self, job_id: str) -> dict[str, Any]:
        """The JobSpec as it was sent, inline data included.

        Raises:
            JobNotFound: there is no such job.
        """
        with self._look(job_id) as connection:
            spec = reading.read_spec(connection, job_id)
        if spec is None:
            raise JobNotFound(job_id)
        return spec

    def page(
        self,
        *,
        after: str | None = None,
        limit: int = 20,
        order: str = "desc",
        status: Sequence[JobStatus] = (),
        created_after: float | None = None,
        metadata: Mapping[str, str] = NOTHING,
    ) -> Page:
        """Jobs in order of creation (`desc`: newest first), filtered before they are cut into pages.

        Args:
            after: the id of the last job of the page before.
            limit: 1 to 100.
            order: "asc" or "desc".
            status: any of these; none: all.
            created_after: unix seconds, exclusive.
            metadata: every pair must be among the job's.

        Raises:
            JobNotFound: `after` names no job.
            ValueError: limit or order out of range.
        """
        if not 1 <= limit <= reading.PAGE_LIMIT or order not in {"asc", "desc"}:
            raise ValueError(f"Received limit={limit}, order={order!r}; expected 1 to 100, and asc or desc.")
        filters = reading.page_filters(status, created_after, metadata)
        with database.reading(self._engine) as connection:
            number = None
            if after is not None:
                here = sa.select(jobs.c.number).where(jobs.c.id == after, *self._mine)
                number = connection.execute(here).scalar_one_or_none()
                if number is None:
                    raise JobNotFound(after)
            return reading.read_page(connection, self._clock(), number, limit, order == "asc", filters, self._mine)

    def request_cancel(self, job_id: str) -> Job:
        """Cancel the job: at once if nobody trains it, else within one training step (`cancelling` until then).

        Raises:
            JobNotFound, TransitionRefused: it succeeded or failed before.
        """
        return self._ask(job_id, submitting.CANCEL)

    def request_pause(self, job_id: str) -> Job:
        """Pause the job: at once if it is queued, else within one training step (`pausing` until then).

        Raises:
            JobNotFound, TransitionRefused: it has ended or is being cancelled.
        """
        return self._ask(job_id, submitting.PAUSE)

    def request_resume(self, job_id: str) -> Job:
        """Queue a paused job again, or take a pause back that was not acted on yet.

        Raises:
            JobNotFound, TransitionRefused: it is not paused.
        """
        return self._ask(job_id, submitting.RESUME)

    def _ask(self, job_id: str, request: submitting.Request) -> Job:
        with self._write() as (connection, now):
            reading.require(connection, job_id, self._mine)
            submitting.ask(connection, job_id, request, now)
        return self.get(job_id)

    def delete(self, job_id: str) -> None:
        """Forget an ended job; its files are the caller's to delete (`ArtifactStore.delete`), afterwards.

        Raises:
            JobNotFound, TransitionRefused: it has not ended.
        """
        with self._write() as (connection, _):
            reading.require(connection, job_id, self._mine)
            submitting.delete(connection, job_id)

    def events(self, job_id: str, *, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """Up to `limit` events with ids above `after`, in order; empty for a job that is not there."""
        with self._look(job_id) as connection:
            return reading.read_events(connection, job_id, after, limit)

    def latest_events(self, job_id: str, *, before: int | None = None, limit: int = 20) -> tuple[Event, ...]:
        """Up to `limit` events with ids below `before`, the newest first."""
        with self._look(job_id) as connection:
            return reading.read_events_back(connection, job_id, before, limit)

    def metrics(
        self,
        job_id: str,
        *,
        names: Sequence[str] = (),
        after_step: int = 0,
        until_step: int = metrics.NO_END,
        max_points: int = 1000,
    ) -> dict[str, list[Any]]:
        """Metrics per step as columns, thinned to about `max_points` rows: `metrics.read_thinned`, `metrics.listed`."""
        with self._look(job_id) as connection:
            columns = metrics.read_thinned(connection, job_id, after_step, max_points, until_step)
        return metrics.listed(columns, names)

    def last_metrics(self, job_id: str) -> int:
        """The last step that there are metrics of, 0 before the first."""
        with self._look(job_id) as connection:
            return metrics.last_step(connection, job_id)

    def faults(self, job_id: str) -> tuple[StepFault, ...]:
        """The steps that were not applied, or whose loss or gradients were not finite, in order."""
        with self._look(job_id) as connection:
            return ledger.read(connection, job_id)

    def checkpoint(self, name: str) -> Checkpoint:
        """The checkpoint of this id, or the newest of the job of this id.

        Raises:
            JobNotFound: there is none.
        """
        with database.reading(self._engine) as connection:
            found = reading.find_checkpoint(connection, name, self._mine)
        if found is None:
            raise JobNotFound(name)
        return found

    def checkpoints(self, job_id: str) -> tuple[Checkpoint, ...]:
        """The job's checkpoints, newest first."""
        with self._look(job_id) as connection:
            return reading.read_checkpoints(connection, job_id)

    def artifacts(self, job_id: str) -> tuple[Artifact, ...]:
        """The files of a succeeded job, by name."""
        with self._look(job_id) as connection:
            return reading.read_artifacts(connection, job_id)

    def queue(self) -> QueueState:
        """How many jobs are in each state."""
        with database.reading(self._engine) as connection:
            return reading.read_queue(connection, self._mine)

    def usage(self) -> Usage:
        """What the tenant holds: jobs that have not ended, and bytes."""
        with database.reading(self._engine) as connection:
            return read_usage(connection, self._tenant)

    # ----------------------------------------------------------------- slices

    def next_in_line(self) -> str | None:
        """The queued job whose turn it is, by tenant, priority and time (`worker.jobs.turns`); None if none waits."""
        with database.reading(self._engine) as connection:
            return turns.next_job(connection, self._clock())

    def claim(self, job_id: str, owner: str, lease_seconds: float) -> Claim | None:
        """Take a queued job for one slice (`slices.claim`); None if it is not there to be taken."""
        with self._write() as (connection, now):
            return slices.claim(connection, job_id, owner, now + lease_seconds, now)

    def directive(self, claim: Claim) -> Directive:
        """What the user wants of the slice now; only a look. Raises: LeaseLost."""
        with database.reading(self._engine) as connection:
            return slices.directive(connection, claim)

    def renew(self, claim: Claim, lease_seconds: float) -> Directive:
        """Keep the job for another `lease_seconds` from now. Raises: LeaseLost."""
        with self._write() as (connection, now):
            return slices.renew(connection, claim, now + lease_seconds, now)

    def record(self, claim: Claim, flush: Flush, keep: int = 2) -> tuple[Checkpoint, ...]:
        """Write progress, metric rows, events and perhaps a checkpoint, all or nothing.

        Returns the checkpoints that gave way (beyond the `keep` newest and the best); their files may go now.

        Raises:
            LeaseLost: the claim is stale.
        """
        with self._write() as (connection, now):
            return slices.record(connection, claim, flush, keep, now)

    def rewind(self, claim: Claim, to: Checkpoint | None) -> None:
        """Resume from an older checkpoint than the newest (None: from the start). Raises: LeaseLost."""
        with self._write() as (connection, now):
            slices.rewind(connection, claim, to, now)

    def release(self, claim: Claim, *, cut_off: bool = False) -> JobStatus:
        """End the slice: `queued` with a wake-up, or `paused` or `cancelled` if that was wanted. Raises: LeaseLost.

        Args:
            claim: the slice.
            cut_off: it could not run for its time, so that the job keeps its turn.
        """
        with self._write() as (connection, now):
            return slices.release(connection, claim, now, cut_off=cut_off)

    def succeed(self, claim: Claim, files: Sequence[Artifact], warnings: Sequence[JobWarning] = ()) -> JobStatus:
        """End the job with its durable files; `cancelled` if a cancel came first. Raises: LeaseLost.

        Args:
            claim: the slice.
            files: what the job leaves.
            warnings: what the whole run shows; they take the place of those of the same codes.
        """
        with self._write() as (connection, now):
            return slices.succeed(connection, claim, files, warnings, now)

    def give_back(self, claim: Claim, trouble: Trouble, most: int) -> JobStatus:
        """End a slice that could not save: `queued` again, or `paused` after `most` in a row. Raises: LeaseLost."""
        with self._write() as (connection, now):
            return slices.give_back(connection, claim, trouble, most, now)

    def fail(self, claim: Claim, error: JobError) -> JobStatus:
        """End the job with an error; `cancelled` if a cancel came first. Raises: LeaseLost."""
        with self._write() as (connection, now):
            return slices.fail(connection, claim, error, now)

    # --------------------------------------------------------------- recovery

    def leases(self) -> tuple[Lease, ...]:
        """Who holds which job until when."""
        with database.reading(self._engine) as connection:
            return recovery.leases(connection)

    def take_back(self, lease: Lease, reason: str, max_lost: int) -> JobStatus | None:
        """Queue (or end) a job whose holder is gone; None if the lease changed since it was looked at."""
        with self._write() as (connection, now):
            return recovery.take_back(connection, lease, reason, max_lost, now)

    def undelivered(self, *, older_than: float = 0.0, limit: int = 1000) -> tuple[Wakeup, ...]:
        """Outbox entries at least `older_than` seconds old, oldest first."""
        with database.reading(self._engine) as connection:
            now = self._clock()
            return recovery.undelivered(connection, now - older_than, now, limit)

    def forgotten(self, *, older_than: float, limit: int = 1000) -> tuple[Wakeup, ...]:
        """Queued jobs that were announced at least `older_than` seconds ago and still wait."""
        with database.reading(self._engine) as connection:
            now = self._clock()
            return recovery.forgotten(connection, now - older_than, now, limit)

    def delivered(self, *wakeups: Wakeup) -> None:
        """Note that the broker took the wake-ups of these jobs."""
        with self._write() as (connection, now):
            recovery.delivered(connection, wakeups, now)

    def waiting(self) -> int:
        """How many jobs are queued."""
        with database.reading(self._engine) as connection:
            return recovery.waiting(connection)

    def ping(self) -> None:
        """Ask the database for nothing; raises what SQLAlchemy raises if it does not answer."""
        with database.reading(self._engine) as connection:
            connection.execute(sa.select(1))
