"""The threads in which what waits is done: a pool for each kind of work, so that none takes the threads of another."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

P = ParamSpec("P")
T = TypeVar("T")

WAIT_SECONDS = 15.0
"""How long a request waits for a thread, before it is asked to come again."""


class NoThread(Exception):
    """No thread for a request became free in time; nothing of it was done."""


class ThreadPool:
    """So many threads at once, and so many of them for one tenant.

    Args:
        threads: at once.
        per_tenant: of these for the requests of one tenant; his others wait, and those of other tenants do not.
        wait_seconds: how long a request waits for its thread.
    """

    def __init__(self, threads: int, per_tenant: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._threads = CapacityLimiter(threads)
        self._per_tenant = per_tenant
        self._wait_seconds = wait_seconds
        self._turns: dict[str, CapacityLimiter] = {}
        self._unbound = CapacityLimiter(math.inf)

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread just now."""
        return sum(turns.statistics().tasks_waiting for turns in (self._threads, *self._turns.values()))

    async def run(self, tenant: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the call returns, made in a thread of the pool.

        Raises:
            NoThread: none became free in time.
        """
        async with AsyncExitStack() as stack:
            try:
                with anyio.fail_after(self._wait_seconds):
                    await stack.enter_async_context(self._turn(tenant))
                    await stack.enter_async_context(self._threads)
            except TimeoutError as error:
                raise NoThread from error
            return await anyio.to_thread.run_sync(partial(call, *args, **kwargs), limiter=self._unbound)

    @asynccontextmanager
    async def _turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait for the tenant's turn; tenants that have no request under way are forgotten."""
        turns = self._turns.setdefault(tenant, CapacityLimiter(self._per_tenant))
        try:
            async with turns:
                yield
        finally:
            statistics = turns.statistics()
            if not statistics.borrowed_tokens and not statistics.tasks_waiting:
                self._turns.pop(tenant, None)


@dataclass(frozen=True)
class ThreadPools:
    """The pools of one process.

    What only looks something up uses the threads that FastAPI uses by itself, `lookups` of them.

    Attributes:
        lookups: threads for what reads a few rows.
        writes: what writes to the database. SQLite has one lock for writing, for which one thread waits best.
        work: what computes or reads much: files, reports, predictions.
        checks: what waits for a process of `app.process_pool`, of which there are as many.
        probes: what asks whether a part answers, which a part that does not answer holds up.
    """

    lookups: int
    writes: ThreadPool
    work: ThreadPool
    checks: ThreadPool
    probes: CapacityLimiter

    def limit_lookups(self) -> None:
        """Bound the threads that FastAPI uses in the running event loop."""
        anyio.to_thread.current_default_thread_limiter().total_tokens = self.lookups


def thread_pools(backend: str, checkers: int) -> ThreadPools:
    """Return the pools for a database.

    More threads than these make a service on SQLite slower: they wait for each other's interpreter and for one lock.

    Args:
        backend: "sqlite" or "postgresql".
        checkers: processes that check at the same time; one tenant has all but one of them.
    """
    lookups, writes = {"sqlite": (2, 1)}.get(backend, (4, 4))
    checks = ThreadPool(checkers, max(1, checkers - 1))
    return ThreadPools(lookups, ThreadPool(writes, writes), ThreadPool(4, 2), checks, CapacityLimiter(6))


def in_pool(name: str) -> Callable[[Callable[..., T]], Callable[..., Any]]:
    """Return a decorator for an endpoint that has `services` among its parameters: its calls are made in that pool.

    Args:
        name: "writes" or "work".
    """

    def decorate(endpoint: Callable[..., T]) -> Callable[..., Any]:
        @wraps(endpoint)
        async def pooled(**values: Any) -> T:
            services = values["services"]
            pool: ThreadPool = getattr(services.pools, name)
            return await pool.run(services.tenant, endpoint, **values)

        return pooled

    return decorate


in_writes = in_pool("writes")
in_work = in_pool("work")
