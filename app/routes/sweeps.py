"""Sweeps: a grid over the fields of a job, and the comparison of the jobs it made."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import ConfigDict, Field, StringConstraints

from app.answers import Answer, JobErrorAnswer, ListAnswer, notices_of, reach_of
from app.deps import Services, ServicesDep
from app.finite_json import ModelResponse
from app.json_route import JsonRoute
from app.problems import declared
from app.quotas import require_room
from app.routes.jobs import IdempotencyKey
from app.submission import Checked, checked_with, digest, discard, largest, started
from app.thread_pools import in_work, in_writes
from worker.jobs.errors import JobNotFound
from worker.jobs.records import Job
from worker.jobs.states import JobStatus
from worker.jobs.submitting import NewJob
from worker.jobs.sweeps import NewSweep, Point, Sweep, Trial
from worker.specs.bounds import MOST_ITEMS, MOST_KEYS, AtMost
from worker.specs.errors import FieldError, SpecError, read
from worker.specs.grid import GridPoint, placed, points_of
from worker.specs.job import EXAMPLE, JobSpec, Metadata
from worker.specs.notices import Notice
from worker.specs.reach import ReachShape
from worker.specs.shape import Anything, Spec, Text
from worker.specs.sources import Remembered
from worker.specs.uploads import Uploads

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"], route_class=JsonRoute)

_SWEEP_ID = re.compile(r"sweep-[A-Za-z0-9_-]{1,80}")
_OF_THE_JOB = "/job"
_FIRST_FAULTS = 20
"""A wrong job is wrong at every point of its grid; so many faults are enough to go by."""


async def _sweep_id(sweep_id: Annotated[str, Path(description="Id of a sweep.")]) -> str:
    if not _SWEEP_ID.fullmatch(sweep_id):
        raise JobNotFound(sweep_id)
    return sweep_id


SweepId = Annotated[str, Depends(_sweep_id)]


class SweepRequest(Spec):
    """A job, and what of it to vary."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"job": EXAMPLE, "grid": {"/policy": ["float32", "mixed_float16"]}}]}
    )

    job: Annotated[dict[str, Anything], AtMost(MOST_KEYS)] = Field(
        description="A training job; every point of the grid starts from it."
    )
    grid: Annotated[dict[Text, Annotated[list[Anything], AtMost(MOST_ITEMS)]], Field(min_length=1), AtMost(8)] = Field(
        description="Values to try, by JSON pointer into the job; every combination is a job.",
        examples=[{"/policy": ["float32", "mixed_float16", "mixed_bfloat16"], "/fit/batch_size": [32, 128]}],
    )
    suffix: Annotated[Text, StringConstraints(max_length=64)] | None = None
    metadata: Metadata = Field(default_factory=dict)


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
    request: SweepRequest,
    services: ServicesDep,
    dry_run: Annotated[bool, Query(description="Only say whether the sweep would be accepted.")] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Check every job of a grid, then queue them all in one transaction, or none."""
    work, writes, tenant = services.pools.work, services.pools.writes, services.tenant
    if dry_run:
        return ModelResponse(_foreseen(await work.run(tenant, _checked, services, request)))
    answer = await work.run(tenant, _replayed, services, request, idempotency_key)
    if answer is None:
        points = await work.run(tenant, _checked, services, request)
        answer = await writes.run(tenant, _queued, services, request, points, idempotency_key)
    return ModelResponse(answer, 201, {"Location": f"{services.settings.root_path}{router.prefix}/{answer.id}"})


def _foreseen(points: list[tuple[GridPoint, Checked]]) -> SweepDryRunAnswer:
    rows = [
        PointAnswer(
            values=dict(point.values),
            policy_reach=checked.answer["policy_reach"],
            warnings=checked.answer["warnings"],
        )
        for point, checked in points
    ]
    steps = sum(checked.new.total_steps for _, checked in points)
    return SweepDryRunAnswer(jobs=len(points), total_steps=steps, points=rows)


def _replayed(services: Services, request: SweepRequest, key: str | None) -> ComparedAnswer | None:
    """Return the sweep that this key made before, before its jobs are checked again."""
    made = None if key is None else services.sweeps.replayed(key, digest(request.given()))
    return None if made is None else _compared(services, made)


def _queued(
    services: Services, request: SweepRequest, points: list[tuple[GridPoint, Checked]], key: str | None
) -> ComparedAnswer:
    sweep, jobs = _created(services, request, points, key)
    for job in jobs:
        services.waker.wake(job)
    return _compared(services, sweep)


def _checked(services: Services, request: SweepRequest) -> list[tuple[GridPoint, Checked]]:
    data = request.job.get("data")
    files = [data.get("file")] if isinstance(data, dict) else []
    with services.room.taken(largest(services, [*files, *request.grid.get("/data/file", ())])):
        return _points(services, request)


def _points(services: Services, request: SweepRequest) -> list[tuple[GridPoint, Checked]]:
    good: list[tuple[GridPoint, Checked]] = []
    faults: dict[FieldError, None] = {}
    files = Remembered(Uploads(services.files))
    for point in points_of(request.job, request.grid, services.shared.limits):
        try:
            good.append((point, checked_with(services, read(JobSpec, point.job), files)))
        except SpecError as error:
            found = dict.fromkeys(placed(error.errors, point))
            faults |= found
            if all(fault.pointer.startswith(_OF_THE_JOB) for fault in found):
                break  # the job that every point starts from is wrong
        if len(faults) >= _FIRST_FAULTS:
            break
    if faults:
        raise SpecError(faults)
    return good


def _created(
    services: Services, request: SweepRequest, points: list[tuple[GridPoint, Checked]], key: str | None
) -> tuple[Sweep, list[Job]]:
    """Queue the jobs; files laid ready for jobs that are not made after all are deleted again."""
    require_room(services, len(points))
    made: list[NewJob] = []
    try:
        for _, checked in points:
            made.append(started(services, checked))
        new = NewSweep(
            request.grid,
            tuple(Point(point.values, job) for (point, _), job in zip(points, made, strict=True)),
            request.suffix,
            request.metadata,
        )
        sweep = services.sweeps.create(new, idempotency_key=key, request_hash=digest(request.given()))
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
