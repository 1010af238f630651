"""Training jobs: create, list, get, cancel, and what they measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Query, Request, Response

from app.answers import CheckpointAnswer, DryRunAnswer, JobAnswer, ListAnswer, MetricsAnswer, ThinningAnswer
from app.checks import Checked, check_job
from app.deps import JobId, ServicesDep
from app.errors import Refused, invalid
from app.finite_json import FiniteJSONResponse, ModelResponse
from app.json_route import JsonRoute
from app.problems import Problem, declared
from app.query_route import keyed
from app.submission import submit
from app.thread_pools import in_work, in_writes
from app.unread import Unread
from worker.jobs.records import Job
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.specs.errors import FieldError
from worker.specs.job import JobSpec

router = APIRouter(prefix="/v1/training/jobs", tags=["jobs"], route_class=JsonRoute)

METADATA_PARAMETER = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "style": "deepObject",
            "explode": True,
            "description": "Only jobs with these labels: `metadata[team]=vision`.",
            "schema": {
                "type": "object",
                "propertyNames": {"minLength": 1},
                "additionalProperties": {"type": "string"},
            },
        }
    ]
}
_FOLLOWED_BY = (
    *("get_job", "cancel_job", "pause_job", "resume_job", "delete_job"),
    *("list_events", "job_metrics", "list_checkpoints", "list_artifacts", "job_report", "predict"),
)
_CREATED = {
    "description": "The job waits for a worker.",
    "links": {name: {"operationId": name, "parameters": {"job_id": "$response.body#/id"}} for name in _FOLLOWED_BY},
}
_ACTED: dict[int | str, dict[str, Any]] = {
    202: {"model": JobAnswer, "description": "The worker was told; it acts before its next training step."},
    **declared(404, 409, 422, 503),
}
PENDING = frozenset({JobStatus.CANCELLING, JobStatus.PAUSING})
"""States that a running job is in from the request until its worker acts on it."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=255,
        description="Send the same key with a retry: the job is created once, and the retry gets it too.",
    ),
]


@router.post(
    "",
    status_code=201,
    response_model=JobAnswer,
    responses={
        200: {"model": DryRunAnswer, "description": "The job would be accepted (dry_run)."},
        201: _CREATED,
        **declared(400, 409, 413, 415, 422, 503),
    },
)
async def create_job(  # FastAPI's way to name what a request carries
    spec: Annotated[Unread[JobSpec], Body()],
    services: ServicesDep,
    dry_run: Annotated[bool, Query(description="Only say whether the job would be accepted.")] = False,
    idempotency_key: IdempotencyKey = None,
    x_idempotency_key: IdempotencyKey = None,
) -> Response:
    """Check a job and put it into the queue."""
    key = None if dry_run else idempotency_key or x_idempotency_key
    found = await services.checked(check_job, spec.body, key)
    if isinstance(found, Checked) and dry_run:
        return FiniteJSONResponse(found.answer)
    writes, tenant = services.pools.writes, services.tenant
    job = found if isinstance(found, Job) else await writes.run(tenant, submit, services, found, key)
    return ModelResponse(JobAnswer.of(job), 201, {"Location": f"{services.settings.root_path}{router.prefix}/{job.id}"})


@router.get(
    "", response_model=ListAnswer[JobAnswer], responses=declared(404, 422, 503), openapi_extra=METADATA_PARAMETER
)
def list_jobs(  # FastAPI's way to name what a request carries
    services: ServicesDep,
    request: Request,
    after: Annotated[str | None, Query(description="Id of the last job of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="By time of creation.")] = "desc",
    status: Annotated[list[JobStatus] | None, Query(description="Only jobs in one of these states.")] = None,
    created_after: Annotated[float | None, Query(description="Unix seconds.", allow_inf_nan=False)] = None,
) -> Response:
    """List jobs, newest first; filters are applied before paging."""
    page = services.store.page(
        after=after,
        limit=limit,
        order=order,
        status=tuple(status or ()),
        created_after=created_after,
        metadata=labels(request),
    )
    answer = ListAnswer[JobAnswer].of([JobAnswer.of(job) for job in page.data], "id", has_more=page.has_more)
    return ModelResponse(answer)


def labels(request: Request) -> dict[str, str]:
    """Return the labels that a list call asks for, as `metadata[key]=value`."""
    return keyed(request, "metadata")


@router.get("/{job_id}", response_model=JobAnswer, responses=declared(404, 422, 503))
def get_job(job_id: JobId, services: ServicesDep) -> Response:
    """Tell everything about one job."""
    return ModelResponse(JobAnswer.of(services.store.get(job_id)))


@router.post("/{job_id}/cancel", responses=_ACTED)
@in_writes
def cancel_job(job_id: JobId, services: ServicesDep, response: Response) -> JobAnswer:
    """Cancel a job: at once if it waits (200), before its next training step if it runs (202)."""
    return _acted(services.store.request_cancel(job_id), response)


@router.post("/{job_id}/pause", responses=_ACTED)
@in_writes
def pause_job(job_id: JobId, services: ServicesDep, response: Response) -> JobAnswer:
    """Pause a job: at once if it waits (200), before its next training step if it runs (202)."""
    return _acted(services.store.request_pause(job_id), response)


@router.post("/{job_id}/resume", responses=_ACTED)
@in_writes
def resume_job(job_id: JobId, services: ServicesDep, response: Response) -> JobAnswer:
    """Put a paused job back into the queue."""
    job = services.store.request_resume(job_id)
    services.waker.wake(job)
    return _acted(job, response)


def _acted(job: Job, response: Response) -> JobAnswer:
    response.status_code = 202 if job.status in PENDING else 200
    return JobAnswer.of(job)


@router.delete("/{job_id}", status_code=204, responses=declared(404, 409, 422, 503))
@in_writes
def delete_job(job_id: JobId, services: ServicesDep) -> None:
    """Forget a job that has ended, and its files."""
    services.store.delete(job_id)
    services.artifacts.delete(job_id)


@router.get("/{job_id}/metrics", responses=declared(404, 422, 503))
@in_work
def job_metrics(
    job_id: JobId,
    services: ServicesDep,
    name: Annotated[
        list[str] | None,
        Query(
            description="Only these columns, and `step`: repeated, or several with commas between.",
            examples=[["loss,loss_scale"]],
        ),
    ] = None,
    after_step: Annotated[int, Query(ge=0, le=2**53)] = 0,
    until_step: Annotated[int, Query(ge=0, le=2**53, description="The last step wanted.")] = 2**53,
    max_points: Annotated[int, Query(ge=1, le=100_000, description="About so many steps are told.")] = 1000,
) -> MetricsAnswer:
    """Tell what each training step measured."""
    services.store.get(job_id)
    if until_step < after_step:
        raise Refused(_turned_round(after_step, until_step))
    steps = min(services.store.last_metrics(job_id), until_step) - after_step
    names = _apart(name or (), services.store, job_id)
    columns = services.store.metrics(
        job_id, names=names, after_step=after_step, until_step=until_step, max_points=max_points
    )
    lacking = [wanted for wanted in names if wanted not in columns]
    if lacking and columns["step"]:
        raise Refused(_no_columns(lacking, services.store.metrics(job_id, max_points=1)))
    thinned = ThinningAnswer(steps=steps) if len(columns["step"]) < steps else None
    return MetricsAnswer(job_id=job_id, columns=columns, thinned=thinned)


def _apart(given: Sequence[str], store: JobStore, job_id: str) -> tuple[str, ...]:
    """Return the names of columns; one that has a comma in itself is not taken apart."""
    whole = store.metrics(job_id, max_points=1) if any("," in item for item in given) else {}
    parts = ([item] if item in whole else [part.strip() for part in item.split(",")] for item in given)
    return tuple(dict.fromkeys(name for names in parts for name in names))


def _turned_round(after_step: int, until_step: int) -> Problem:
    text = f"No step lies after {after_step} and not after {until_step}: `until_step` must be at least `after_step`."
    return invalid((FieldError("empty_range", "ValueError", text, ""),))


def _no_columns(lacking: Sequence[str], there: Mapping[str, Any]) -> Problem:
    names = ", ".join(repr(name) for name in there if name != "nonfinite")
    text = f"Nothing named {', '.join(map(repr, lacking))} was measured in this job. There are {names}."
    return invalid((FieldError("unknown_metric", "ValueError", text, ""),))


@router.get("/{job_id}/checkpoints", responses=declared(404, 422, 503))
def list_checkpoints(job_id: JobId, services: ServicesDep) -> ListAnswer[CheckpointAnswer]:
    """List the durable states of a run, newest first."""
    services.store.get(job_id)
    data = [CheckpointAnswer.of(checkpoint) for checkpoint in services.store.checkpoints(job_id)]
    return ListAnswer[CheckpointAnswer].of(data, "id")
