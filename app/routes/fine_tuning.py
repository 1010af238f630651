"""Jobs through OpenAI's fine-tuning API: the unmodified `openai` package works here. See docs/openai.md."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from app.answers import ListAnswer
from app.checks import check_fine_tuning
from app.deps import JobId, ServicesDep
from app.errors import Refused, problem_of
from app.fine_tuning import (
    FineTuningCheckpointAnswer,
    FineTuningEventAnswer,
    FineTuningJobAnswer,
    FineTuningRequest,
    event_number,
)
from app.json_route import JsonRoute
from app.problems import declared
from app.routes.jobs import METADATA_PARAMETER, IdempotencyKey, labels
from app.submission import submit
from app.thread_pools import in_writes
from app.unread import Unread
from worker.jobs.errors import IdempotencyMismatch, JobNotFound
from worker.jobs.records import Job
from worker.specs.errors import SpecError


class OpenAIRoute(JsonRoute):
    """A route whose refusals of a body or a parameter are 400, as OpenAI's are, and not 422."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        usual = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await usual(request)
            except (Refused, SpecError, RequestValidationError, IdempotencyMismatch) as error:
                problem = problem_of(error)
                raise Refused(replace(problem, status=400 if problem.status == 422 else problem.status)) from error

        return handle


router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["openai"], route_class=OpenAIRoute)
_ACTED = declared(400, 404, 409, 503)


@router.post("", responses=declared(400, 404, 409, 413, 415, 503))
async def create_fine_tuning_job(
    request: Annotated[Unread[FineTuningRequest], Body()],
    services: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> FineTuningJobAnswer:
    """Make a job of OpenAI's request and put it into the queue."""
    found = await services.checked(check_fine_tuning, request.body, idempotency_key)
    if isinstance(found, Job):
        return FineTuningJobAnswer.of(found)
    job = await services.pools.writes.run(services.tenant, submit, services, found, idempotency_key)
    return FineTuningJobAnswer.of(job)


@router.get("", responses=declared(400, 404, 503), openapi_extra=METADATA_PARAMETER)
def list_fine_tuning_jobs(
    services: ServicesDep,
    request: Request,
    after: Annotated[str | None, Query(description="Id of the last job of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ListAnswer[FineTuningJobAnswer]:
    """List jobs, newest first, whichever API made them."""
    page = services.store.page(after=after, limit=limit, metadata=labels(request))
    data = [FineTuningJobAnswer.of(job) for job in page.data]
    return ListAnswer[FineTuningJobAnswer].of(data, "id", has_more=page.has_more)


@router.get("/{job_id}", responses=_ACTED)
def get_fine_tuning_job(job_id: JobId, services: ServicesDep) -> FineTuningJobAnswer:
    """Tell about one job."""
    return FineTuningJobAnswer.of(services.store.get(job_id))


@router.post("/{job_id}/cancel", responses=_ACTED)
@in_writes
def cancel_fine_tuning_job(job_id: JobId, services: ServicesDep) -> FineTuningJobAnswer:
    """Cancel a job."""
    return FineTuningJobAnswer.of(services.store.request_cancel(job_id))


@router.post("/{job_id}/pause", responses=_ACTED)
@in_writes
def pause_fine_tuning_job(job_id: JobId, services: ServicesDep) -> FineTuningJobAnswer:
    """Pause a job; it is `running` until its worker has saved it."""
    return FineTuningJobAnswer.of(services.store.request_pause(job_id))


@router.post("/{job_id}/resume", responses=_ACTED)
@in_writes
def resume_fine_tuning_job(job_id: JobId, services: ServicesDep) -> FineTuningJobAnswer:
    """Put a paused job back into the queue."""
    job: Job = services.store.request_resume(job_id)
    services.waker.wake(job)
    return FineTuningJobAnswer.of(job)


@router.get("/{job_id}/events", responses=_ACTED)
def list_fine_tuning_events(
    job_id: JobId,
    services: ServicesDep,
    after: Annotated[str | None, Query(description="Id of the last event of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> ListAnswer[FineTuningEventAnswer]:
    """List what happened to a job, newest first."""
    services.store.get(job_id)
    before = None if after is None else event_number(job_id, after)
    if after is not None and before is None:
        raise JobNotFound(after)
    events = services.store.latest_events(job_id, before=before, limit=limit + 1)
    data = [FineTuningEventAnswer.of(event) for event in events[:limit]]
    return ListAnswer[FineTuningEventAnswer].of(data, "id", has_more=len(events) > limit)


@router.get("/{job_id}/checkpoints", responses=_ACTED)
def list_fine_tuning_checkpoints(
    job_id: JobId,
    services: ServicesDep,
    after: Annotated[str | None, Query(description="Id of the last checkpoint of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> ListAnswer[FineTuningCheckpointAnswer]:
    """List the durable states of a run, newest first."""
    services.store.get(job_id)
    found = services.store.checkpoints(job_id)
    ids = [saved.id for saved in found]
    if after is not None and after not in ids:
        raise JobNotFound(after)
    rest = found[ids.index(after) + 1 if after is not None else 0 :]
    data = [FineTuningCheckpointAnswer.of(saved) for saved in rest[:limit]]
    return ListAnswer[FineTuningCheckpointAnswer].of(data, "id", has_more=len(rest) > limit)
