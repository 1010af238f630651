"""Sweeps: a grid over the fields of a job, and the comparison of the jobs it made."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Path, Query, Response
from pydantic import Field

from app.answers import Answer, JobErrorAnswer, ListAnswer, notices_of, reach_of
from app.deps import Services, ServicesDep
from app.finite_json import ModelResponse
from app.json_route import JsonRoute
from app.problems import declared
from app.quotas import require_room
from app.routes.jobs import IdempotencyKey
from app.submission import discard, started
from app.sweep_checks import CheckedSweep, SweepRequest, check_sweep
from app.thread_pools import in_work, in_writes
from app.unread import Unread
from worker.jobs.errors import JobNotFound
from worker.jobs.records import Job
from worker.jobs.states import JobStatus
from worker.jobs.submitting import NewJob
from worker.jobs.sweeps import NewSweep, Point, Sweep, Trial
from worker.specs.notices import Notice
from worker.specs.reach import ReachShape

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"], route_class=JsonRoute)

_SWEEP_ID = re.compile(r"sweep-[A-Za-z0-9_-]{1,80}")


async def _sweep_id(sweep_id: Annotated[str, Path(description="Id of a sweep.")]) -> str:
    if not _SWEEP_ID.fullmatch(sweep_id):
        raise JobNotFound(sweep_id)
    return sweep_id


SweepId = Annotated[str, Depends(_sweep_id)]


class TrialAnswer(Answer):
    """One row of the comparison."""

    job_id: str
    values: dict[str, Any] = Field(description="What this job has, by JSON pointer.")
    status: JobStatus
    progress_percent: float
    metrics: dict[str, Any] = Field(description="The latest of each.")
    best: dict[str, Any] = Field(description="Of the checkpoint with the lowest (validation) loss.")
    loss_scale: float | None
    skipped_steps: int
    error: JobErrorAnswer | None
    policy_reach: ReachShape | None = Field(description="Which layers follow the policy of this job.")
    warnings: list[Notice] = Field(description="What of this job was accepted but is doubtful.")

    @classmethod
    def of(cls, trial: Trial) -> TrialAnswer:
        """Return the row for a job."""
        job = trial.job
        return cls(
            job_id=job.id,
            values=dict(trial.values),
            status=job.status,
            progress_percent=job.progress.percent,
            metrics=dict(job.metrics),
            best=dict(trial.best),
            loss_scale=job.loss_scale,
            skipped_steps=job.skipped_steps,
            error=None if job.error is None else JobErrorAnswer.of(job.error),
            policy_reach=reach_of(job),
            warnings=notices_of(job),
        )


class SweepAnswer(Answer):
    """A sweep."""

    id: str
    object: Literal["sweep"] = "sweep"
    created_at: float
    status: str = Field(description="`running` until every job has ended; then `failed` or `cancelled` if any did.")
    counts: dict[str, int] = Field(description="Jobs in each state.")
    grid: dict[str, list[Any]]
    suffix: str | None
    metadata: dict[str, str]

    @classmethod
    def of(cls, sweep: Sweep) -> SweepAnswer:
        """Return the answer for a sweep."""
        return cls(
            id=sweep.id,
            created_at=sweep.created_at,
            status=sweep.status,
            counts={status.value: count for status, count in sweep.counts.items()},
            grid={pointer: list(values) for pointer, values in sweep.grid.items()},
            suffix=sweep.suffix,
            metadata=dict(sweep.metadata),
        )


class ComparedAnswer(SweepAnswer):
    """A sweep with its jobs side by side."""

    jobs: list[TrialAnswer] = Field(description="In the order of the grid, the last pointer varying fastest.")
    best_job: str | None = Field(description="The succeeded job with the lowest (validation) loss.")


class PointAnswer(Answer):
    """A job of a sweep that would be accepted."""

    values: dict[str, Any] = Field(description="What this job has, by JSON pointer.")
    policy_reach: ReachShape = Field(description="Which layers follow the policy of this job.")
    warnings: list[Notice] = Field(description="What of this job is doubtful.")


class SweepDryRunAnswer(Answer):
    """A sweep that would be accepted."""

    object: Literal["sweep.dry_run"] = "sweep.dry_run"
    valid: Literal[True] = True
    jobs: int
    total_steps: int
    points: list[PointAnswer] = Field(description="In the order of the grid, the last pointer varying fastest.")


@router.post(
    "",
    status_code=201,
    response_model=ComparedAnswer,
    responses={
        200: {"model": SweepDryRunAnswer, "description": "The sweep would be accepted (dry_run)."},
        **declared(400, 413, 415, 422, 503),
    },
)
async def create_sweep(
    request: Annotated[Unread[SweepRequest], Body()],
    services: ServicesDep,
    dry_run: Annotated[bool, Query(description="Only say whether the sweep would be accepted.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Check every job of a grid, then queue them all in one transaction, or none."""
    key = None if dry_run else idempotency_key
    found = await services.checked(check_sweep, request.body, key)
    if isinstance(found, CheckedSweep) and dry_run:
        return ModelResponse(_foreseen(found))
    answer = await services.pools.writes.run(services.tenant, _compared_or_queued, services, found, key)
    return ModelResponse(answer, 201, {"Location": f"{services.settings.root_path}{router.prefix}/{answer.id}"})


def _foreseen(sweep: CheckedSweep) -> SweepDryRunAnswer:
    rows = [
        PointAnswer(
            values=dict(point.values),
            policy_reach=point.checked.answer["policy_reach"],
            warnings=point.checked.answer["warnings"],
        )
        for point in sweep.points
    ]
    steps = sum(point.checked.new.total_steps for point in sweep.points)
    return SweepDryRunAnswer(jobs=len(rows), total_steps=steps, points=rows)


def _compared_or_queued(services: Services, found: Sweep | CheckedSweep, key: str | None) -> ComparedAnswer:
    if isinstance(found, Sweep):
        return _compared(services, found)
    sweep, jobs = _created(services, found, key)
    for job in jobs:
        services.waker.wake(job)
    return _compared(services, sweep)


def _created(services: Services, checked: CheckedSweep, key: str | None) -> tuple[Sweep, list[Job]]:
    """Queue the jobs; files laid ready for jobs that are not made after all are deleted again."""
    require_room(services, len(checked.points))
    made: list[NewJob] = []
    try:
        made.extend(started(services, point.checked) for point in checked.points)
        new = NewSweep(
            checked.grid,
            tuple(Point(point.values, job) for point, job in zip(checked.points, made, strict=True)),
            checked.suffix,
            checked.metadata,
        )
        sweep = services.sweeps.create(new, idempotency_key=key, request_hash=checked.digest)
    except BaseException:
        for job in made:
            discard(services, job)
        raise
    jobs = [trial.job for trial in services.sweeps.trials(sweep.id)]
    for job in made:
        if job.id not in {known.id for known in jobs}:
            discard(services, job)
    return sweep, jobs


def _compared(services: Services, sweep: Sweep) -> ComparedAnswer:
    trials = services.sweeps.trials(sweep.id)
    ended = [(trial.score, trial.job.id) for trial in trials if trial.job.status is JobStatus.SUCCEEDED]
    best = min(((score, job_id) for score, job_id in ended if score is not None), default=(0.0, None))[1]
    return ComparedAnswer(
        **SweepAnswer.of(sweep).model_dump(), jobs=[TrialAnswer.of(trial) for trial in trials], best_job=best
    )


@router.get("", responses=declared(404, 422, 503))
def list_sweeps(
    services: ServicesDep,
    after: Annotated[str | None, Query(description="Id of the last sweep of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ListAnswer[SweepAnswer]:
    """List sweeps, newest first, without their jobs."""
    found, more = services.sweeps.page(after=after, limit=limit)
    return ListAnswer[SweepAnswer].of([SweepAnswer.of(sweep) for sweep in found], "id", has_more=more)


@router.get("/{sweep_id}", responses=declared(404, 422, 503))
@in_work
def get_sweep(sweep_id: SweepId, services: ServicesDep) -> ComparedAnswer:
    """Compare the jobs of a sweep."""
    return _compared(services, services.sweeps.get(sweep_id))


@router.post("/{sweep_id}/cancel", responses=declared(404, 422, 503))
@in_writes
def cancel_sweep(sweep_id: SweepId, services: ServicesDep) -> ComparedAnswer:
    """Cancel every job that has not ended; running ones act before their next training step."""
    return _compared(services, services.sweeps.cancel(sweep_id))


@router.delete("/{sweep_id}", status_code=204, responses=declared(404, 409, 422, 503))
@in_writes
def delete_sweep(sweep_id: SweepId, services: ServicesDep) -> None:
    """Forget a sweep whose jobs have all ended, the jobs, and their files."""
    for job_id in services.sweeps.delete(sweep_id):
        services.artifacts.delete(job_id)
