"""The log of a job: as a list, or live as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from app.answers import EventAnswer, ListAnswer
from app.auth import Doorkeeper
from app.deps import JobId, Services, ServicesDep
from app.finite_json import dumps
from app.problems import declared
from app.query_route import QueryRoute
from worker.jobs.records import Event
from worker.jobs.states import TERMINAL

router = APIRouter(prefix="/v1/training/jobs", tags=["jobs"], route_class=QueryRoute)

SSE = "text/event-stream"
Allowed = Callable[[], Awaitable[bool]]
TERMINAL_TYPES = frozenset(f"job.{status.value}" for status in TERMINAL)
HEARTBEAT = ": still here\n\n"
RETRY = "retry: 1000\n\n"
"""Tells a browser to come back a second after the connection is lost."""
_TEXT = {"type": "string"}
_STREAM: dict[str, Any] = {
    "description": "A list, or with `stream=true` or `Accept: text/event-stream` a stream that ends with the job.",
    # OpenAPI 3.1 has no word for the items of a stream; tools take this for the shape of one event.
    "content": {SSE: {"schema": {"type": "object", "properties": {"id": _TEXT, "event": _TEXT, "data": _TEXT}}}},
}


@router.get(
    "/{job_id}/events", response_model=ListAnswer[EventAnswer], responses={200: _STREAM, **declared(404, 422, 503)}
)
async def list_events(  # FastAPI's way to name what a request carries
    job_id: JobId,
    services: ServicesDep,
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only events with a greater id.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of a list; a stream has no limit.")] = 100,
    stream: Annotated[bool | None, Query(description="Whether to stream; without it, Accept decides.")] = None,
    last_event_id: Annotated[str, Header(description="Of a stream: the last id that was seen.")] = "",
) -> Any:
    """Tell what happened to a job, from its first event or from where the caller left off."""
    if SSE in request.headers.get("accept", "") if stream is None else stream:
        last_id = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 16 else after
        door: Doorkeeper = request.app.state.door
        return await _streamed(services, job_id, last_id, partial(door.still_allowed, services.caller))
    return await run_in_threadpool(_listed, services, job_id, after, limit)


def _listed(services: Services, job_id: str, after: int, limit: int) -> ListAnswer[EventAnswer]:
    services.store.get(job_id)
    events = services.store.events(job_id, after=after, limit=limit + 1)
    data = [EventAnswer.of(event) for event in events[:limit]]
    return ListAnswer[EventAnswer].of(data, "id", has_more=len(events) > limit)


async def _streamed(services: Services, job_id: str, last_id: int, allowed: Allowed) -> Response:
    job = await run_in_threadpool(services.store.get, job_id)
    # An id that the log has not reached belongs to no event of ours: whoever sends it starts at the log's end.
    last_id = min(last_id, job.last_event_id)
    told_all = job.terminal and last_id == job.last_event_id
    lines = _nothing() if told_all else _lines(services, job_id, last_id, allowed)
    return StreamingResponse(lines, media_type=SSE, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


async def _nothing() -> AsyncIterator[str]:
    yield RETRY


async def _lines(services: Services, job_id: str, last_id: int, allowed: Allowed) -> AsyncIterator[str]:
    """Encode the feed until the job's last event, the feed's end, or the longest time that a stream may last.

    At each heartbeat it is asked whether the caller is still allowed to listen; if not, the stream ends, and whoever
    comes back is refused.
    """
    settings = services.settings
    end = time.monotonic() + settings.sse_longest_seconds
    patience = min(settings.sse_heartbeat_seconds, settings.sse_longest_seconds)
    ask_at = time.monotonic() + patience
    yield RETRY
    async with aclosing(services.feed.follow(job_id, last_id, patience)) as batches:
        async for batch in batches:
            if time.monotonic() >= ask_at:
                if not await allowed():
                    return
                ask_at = time.monotonic() + patience
            yield "".join(map(encoded, batch)) or HEARTBEAT
            if any(event.type in TERMINAL_TYPES for event in batch) or time.monotonic() >= end:
                return


def encoded(event: Event) -> str:
    """Return one event in the format of server-sent events."""
    data = dumps(EventAnswer.of(event).model_dump(mode="python"))
    return f"id: {event.id}\nevent: {event.type}\ndata: {data}\n\n"
