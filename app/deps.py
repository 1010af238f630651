"""What the routes work with, made in one place and handed to them as arguments."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, TypeVar, TypeVarTuple

from fastapi import Depends, Path, Request
from sqlalchemy import Engine

from app.auth import NOBODY, Caller
from app.check_services import CheckServices, CheckSettings
from app.feed import Feed
from app.predictor import Predictor
from app.process_pool import ProcessPool
from app.settings import AppSettings
from app.thread_pools import ThreadPools, thread_pools
from app.waker import Waker
from worker.jobs import database
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.errors import JobNotFound
from worker.jobs.files import FileStore
from worker.jobs.store import JobStore
from worker.jobs.sweeps import SweepStore
from worker.jobs.webhooks import WebhookStore
from worker.queue import CeleryQueue, deliver
from worker.settings import WorkerSettings

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")

_JOB_ID = re.compile(r"job-[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True)
class Services:
    """Everything a route may touch.

    Attributes:
        settings: of this process.
        shared: settings that every process has the same.
        database: the engine below the store, to be disposed of at the end.
        store: the book of jobs.
        sweeps: jobs that belong together.
        webhooks: who is told of jobs.
        artifacts: files of jobs.
        files: uploaded ones.
        queue: tells workers that a job waits.
        waker: uses the queue in a thread of its own, so that a slow broker holds up no request.
        predictor: asks finished models.
        feed: follows the event logs of jobs.
        pools: the threads in which routes wait.
        checkers: the processes in which bodies are read and jobs checked.
        check_settings: what these know.
        caller: whose request it is.
    """

    settings: AppSettings
    shared: WorkerSettings
    database: Engine
    store: JobStore
    sweeps: SweepStore
    webhooks: WebhookStore
    artifacts: ArtifactStore
    files: FileStore
    queue: CeleryQueue
    waker: Waker
    feed: Feed
    predictor: Predictor
    pools: ThreadPools
    checkers: ProcessPool
    check_settings: CheckSettings
    caller: Caller = NOBODY

    @property
    def tenant(self) -> str:
        """The caller's."""
        return self.caller.tenant

    async def checked(self, call: Callable[[CheckServices, *Arguments], T], *args: *Arguments) -> T:
        """Return what a call returns, made in one of the processes for checks with the caller's `CheckServices`.

        Raises:
            NoThread: none became free in time.
            TooCostly: the call took too much memory or time.
        """
        asked = partial(self.checkers.run, self.check_settings, self.tenant, call, *args)
        return await self.pools.checks.run(self.tenant, asked)

    def of(self, caller: Caller) -> Services:
        """Return the services as the caller may use them: whatever is not his tenant's is not there."""
        tenant = caller.tenant
        return replace(
            self,
            caller=caller,
            store=self.store.of(tenant),
            sweeps=self.sweeps.of(tenant),
            webhooks=self.webhooks.of(tenant),
            files=self.files.of(tenant),
        )


def wire(settings: AppSettings, shared: WorkerSettings, checkers: ProcessPool | None = None) -> Services:
    """Return the real services; connections are made when first used.

    Args:
        settings: of this process.
        shared: settings that every process has the same.
        checkers: processes that others use too; None: some of its own.
    """
    engine = database.create(shared.database_url)
    store = JobStore(engine)
    artifacts = ArtifactStore(shared.artifacts_url)
    queue = CeleryQueue(shared.broker_url)
    return Services(
        settings=settings,
        shared=shared,
        database=engine,
        store=store,
        artifacts=artifacts,
        files=FileStore(engine, artifacts),
        sweeps=SweepStore(engine),
        webhooks=WebhookStore(engine),
        queue=queue,
        waker=Waker(partial(deliver, store, queue)),
        feed=Feed(store, settings.sse_poll_seconds),
        predictor=Predictor(settings, shared.artifacts_url, shared.limits),
        pools=thread_pools(engine.dialect.name, settings.check_processes),
        checkers=checkers or ProcessPool(settings.check_seconds, settings.check_memory_bytes),
        check_settings=CheckSettings.of(settings, shared),
    )


async def _caller(request: Request) -> Caller:
    caller: Caller = getattr(request.state, "caller", NOBODY)  # set by app.gate
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]


async def _services(request: Request, caller: CallerDep) -> Services:
    services: Services = request.app.state.services
    return services.of(caller)


async def _job_id(job_id: Annotated[str, Path(description="Id of a job.", examples=["job-0123456789abcdef"])]) -> str:
    """Any other text is no job's id, whatever the database would say to it."""
    if not _JOB_ID.fullmatch(job_id):
        raise JobNotFound(job_id)
    return job_id


ServicesDep = Annotated[Services, Depends(_services)]
JobId = Annotated[str, Depends(_job_id)]
