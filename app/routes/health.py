"""Whether this process is alive, and whether a job sent now would run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import PlainTextResponse

from app.answers import Answer
from app.deps import Services, ServicesDep
from app.problems import Problem, declared
from worker.queue import QueueUnavailable

router = APIRouter(tags=["health"])


class HealthAnswer(Answer):
    """The process is alive."""

    status: Literal["ok"] = "ok"


class ReadyAnswer(Answer):
    """A job sent now would run."""

    status: Literal["ready"] = "ready"
    checks: dict[str, str]


@router.get("/healthz")
async def healthz() -> HealthAnswer:
    """Tell that this process answers."""
    return HealthAnswer()


@router.get("/readyz", response_model=ReadyAnswer, responses=declared(503))
async def readyz(request: Request, services: ServicesDep) -> ReadyAnswer | Response:
    """Tell whether the database and the broker answer and a worker consumes."""
    names = tuple(CHECKS)
    found = await asyncio.gather(*(_asked(services, CHECKS[name]) for name in names))
    checks = dict(zip(names, found, strict=True))
    failed = {name: said for name, said in checks.items() if said != OK}
    if not failed:
        return ReadyAnswer(checks=checks)
    detail = "; ".join(f"{name}: {said}" for name, said in failed.items())
    problem = Problem(503, "not_ready", f"A job sent now would wait: {detail}.", headers={"Retry-After": "1"})
    return problem.response(request, checks=checks)


@router.get("/metrics", response_class=PlainTextResponse)
async def figures(request: Request, services: ServicesDep) -> Response:
    """Tell Prometheus how many jobs wait, what the workers did, and how this process answers."""
    registry: CollectorRegistry = request.app.state.figures
    text = await anyio.to_thread.run_sync(generate_latest, registry, limiter=services.pools.probes)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


OK = "ok"


def _database(services: Services) -> str:
    try:
        services.store.ping()
    except SQLAlchemyError:
        return "does not answer"
    return OK


def _broker(services: Services) -> str:
    try:
        services.queue.ping()
    except QueueUnavailable:
        return "does not answer"
    return OK


def _worker(services: Services) -> str:
    """A worker counts if its receiving loop turned in the last seconds; one that only runs does not."""
    try:
        return OK if services.queue.workers() else "none takes jobs just now"
    except QueueUnavailable:
        return "cannot be asked without the broker"


CHECKS: Mapping[str, Callable[[Services], str]] = MappingProxyType(
    {"database": _database, "broker": _broker, "worker": _worker}
)
"""What a job needs to run, and how to find out whether it is there; OK, or what is wrong."""


async def _asked(services: Services, check: Callable[[Services], str]) -> str:
    """Ask in a thread that is left behind if it takes too long: a dead broker must not hold up this answer."""
    try:
        async with asyncio.timeout(services.settings.ready_seconds):
            return await anyio.to_thread.run_sync(
                check, services, abandon_on_cancel=True, limiter=services.pools.probes
            )
    except TimeoutError:
        return f"no answer in {services.settings.ready_seconds:g} s"
