"""What waits and what runs."""

from __future__ import annotations

from fastapi import APIRouter

from app.answers import QueueAnswer
from app.deps import ServicesDep
from app.problems import declared
from app.query_route import QueryRoute
from worker.jobs.states import LEASED, JobStatus

router = APIRouter(prefix="/v1/queue", tags=["queue"], route_class=QueryRoute)


@router.get("", responses=declared(503))
def get_queue(services: ServicesDep) -> QueueAnswer:
    """Tell how many jobs are in each state, and since when the oldest of the queue waits."""
    state = services.store.queue()
    counts = {status.value: state.counts.get(status, 0) for status in JobStatus}
    running = sum(state.counts.get(status, 0) for status in LEASED)
    return QueueAnswer(
        counts=counts, queued=counts[JobStatus.QUEUED], running=running, oldest_queued_at=state.oldest_queued_at
    )
