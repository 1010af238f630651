"""Figures for Prometheus: what this process answered, and what the database and the broker know of all the others.

Only the HTTP figures are this process's own. Jobs come from the database and worker figures from the sums that workers
keep in the broker, so they are right whatever number of processes and hosts there is, and the same from each of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth import WRITE, path_of, scope_for
from worker.jobs import figures
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.queue import CeleryQueue, QueueUnavailable

logger = logging.getLogger(__name__)

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
UNKNOWN_ROUTE = "unknown"
_REFUSED = 400
_SLOW = 1.0
"""Seconds."""
_COUNTERS = {
    figures.STEPS: ("halfstep_steps", "Training steps done."),
    figures.SKIPPED: ("halfstep_skipped_steps", "Steps that were not applied: a gradient was not finite."),
    figures.TRAINING_SECONDS: ("halfstep_training_seconds", "Time spent in training loops."),
    figures.LEASES_LOST: ("halfstep_leases_lost", "Jobs taken back from workers that were gone."),
    figures.SENT_AGAIN: ("halfstep_wakeups_sent_again", "Messages that the broker had lost."),
}


class Figures(Collector):
    """Asks the database and the broker when somebody asks for figures; what does not answer is told as down.

    Args:
        store: the book of all tenants' jobs.
        queue: the broker.
        clock: unix seconds.
    """

    def __init__(self, store: JobStore, queue: CeleryQueue, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked at registration."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Ask now."""
        up = GaugeMetricFamily("halfstep_up", "Whether a part answers.", labels=["part"])
        for part, ask in (("database", self._jobs), ("broker", self._workers)):
            try:
                found = list(ask())
            except (SQLAlchemyError, QueueUnavailable) as error:
                logger.warning("no figures of the %s: %s", part, error)
                found = []
            up.add_metric([part], float(bool(found)))
            yield from found
        yield up

    def _jobs(self) -> Iterable[Metric]:
        state = self._store.queue()
        jobs = GaugeMetricFamily("halfstep_jobs", "Jobs by status.", labels=["status"])
        for status in JobStatus:
            jobs.add_metric([status.value], state.counts.get(status, 0))
        yield jobs
        oldest = state.oldest_queued_at
        waits = 0.0 if oldest is None else max(self._clock() - oldest, 0.0)
        yield GaugeMetricFamily("halfstep_queue_oldest_seconds", "How long the oldest queued job waits.", waits)

    def _workers(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("halfstep_queue_messages", "Messages that wait in the broker.", self._queue.depth())
        workers = self._queue.workers()
        yield GaugeMetricFamily("halfstep_workers", "Workers whose receiving loop turns.", len(workers))
        slots = sum(int(worker["slots"]) for worker in workers)
        yield GaugeMetricFamily("halfstep_worker_slots", "Jobs that can be trained at once.", slots)
        yield from _summed(self._queue.counted())


def _summed(sums: Mapping[str, float]) -> Iterable[Metric]:
    for name, (metric, text) in _COUNTERS.items():
        yield CounterMetricFamily(metric, text, sums.get(name, 0.0))
    slices = CounterMetricFamily("halfstep_slices", "Slices by how they ended.", labels=["outcome"])
    for outcome, count in figures.outcomes(sums).items():
        slices.add_metric([outcome], count)
    yield slices
    lengths = HistogramMetricFamily("halfstep_slice_seconds", "Time from the claim of a slice to its last write.")
    lengths.add_metric([], figures.lengths(sums), sums.get(figures.SLICE_SECONDS, 0.0))
    yield lengths


def registry_of(store: JobStore, queue: CeleryQueue) -> CollectorRegistry:
    """Return the registry of one application."""
    registry = CollectorRegistry()
    registry.register(Figures(store, queue))
    return registry


class Measured:
    """ASGI middleware that times each answer to its first byte, and logs those worth a line.

    A stream of events lasts as long as its listener likes; what counts is how soon it began.

    Args:
        app: what answers.
        registry: what the times are added to.
        worth: which answers are logged, a name of `WORTH`.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry, worth: str = "notable") -> None:
        self.app = app
        self._worth_a_line = WORTH[worth]
        text = "Time to the first byte of an answer."
        self._seconds = Histogram(
            "halfstep_http_request_seconds", text, ["method", "route", "status"], registry=registry, buckets=BOUNDS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope, message["status"], time.perf_counter() - begun)
            await send(message)

        await self.app(scope, receive, timed)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        # The template and never the path: a label for each job would fill the memory of whoever collects.
        route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
        method = scope["method"] if route != UNKNOWN_ROUTE else UNKNOWN_ROUTE
        self._seconds.labels(method, route, str(status)).observe(seconds)
        if not self._worth_a_line(scope, status, seconds):
            return
        told = {"method": scope["method"], "path": scope["path"], "status": status, "ms": round(seconds * 1000, 1)}
        logger.info("answered", extra=told)


def _every(*_answer: object) -> bool:
    return True


def _notable(scope: Scope, status: int, seconds: float) -> bool:
    if status == HTTPStatus.TOO_MANY_REQUESTS and "route" not in scope:
        return False  # the gate counts it; a line each would be what a flood is for
    return status >= _REFUSED or seconds >= _SLOW or scope_for(scope["method"], path_of(scope)) == WRITE


WORTH: Mapping[str, Callable[[Scope, int, float], bool]] = {
    "notable": _notable,
    "all": _every,
}
"""Which answers get a line of the log. A line takes as long as a third of a short answer, so by default those that
only read, went well and took less than a second are told by the figures alone."""
