"""The HTTP application: `create_app(settings)` wires it, `python -m app.main` serves it in this process.

`uvicorn --factory app.main:create_app` serves it too; only there, open event streams end when uvicorn's own
`--timeout-graceful-shutdown` runs out, because uvicorn tells an application of a stop after its connections are gone.
"""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import errors, openapi
from app.deps import Services, wire
from app.finite_json import FiniteJSONResponse
from app.gate import Gate, Rules
from app.hosts import exposure
from app.monitoring import Measured, registry_of
from app.process_pool import ProcessPool
from app.protection import Protection
from app.protocol import BoundedHttp
from app.request_ids import RequestIds
from app.routes import (
    artifacts,
    datasets,
    docs,
    events,
    files,
    fine_tuning,
    health,
    jobs,
    loss_scales,
    models,
    optimizers,
    policies,
    queue,
    results,
    sweeps,
    translate,
    webhooks,
)
from app.rules import rules_of
from app.settings import AppSettings
from worker.jobs import logs
from worker.settings import WorkerSettings, settings_or_exit

ROUTERS = (  # asked in this order, so the quick and busy ones come first
    policies.router,
    loss_scales.router,
    optimizers.router,
    translate.router,
    models.router,
    health.router,
    jobs.router,
    events.router,
    artifacts.router,
    files.router,
    results.router,
    fine_tuning.router,
    sweeps.router,
    webhooks.router,
    datasets.router,
    queue.router,
    docs.router,
)


def create_app(
    settings: AppSettings | None = None,
    worker_settings: WorkerSettings | None = None,
    checkers: ProcessPool | None = None,
) -> FastAPI:
    """Return the application; nothing is connected before it is served.

    Args:
        settings: of the HTTP process; None reads the environment.
        worker_settings: where the state lives, the same for every process; None reads the environment.
        checkers: processes that check jobs, started and ended by whoever made them; None: processes of its own.
    """
    services = wire(settings or AppSettings(), worker_settings or WorkerSettings(), checkers)
    rules = rules_of(services)
    app = FastAPI(
        title="Halfstep",
        summary="Low-precision training as a service.",
        description=openapi.DESCRIPTION,
        version=version("halfstep"),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        servers=[{"url": services.settings.root_path}] if services.settings.root_path else None,
        lifespan=_lifespan_of(services, rules, own_checkers=checkers is None),
        default_response_class=FiniteJSONResponse,
        generate_unique_id_function=openapi.operation_id,
    )
    app.state.services = services
    app.state.door = rules.door
    app.add_middleware(Gate, rules=rules)
    if services.settings.cors_origins:  # answers a browser's question whether it may ask, before it shows a key
        app.add_middleware(
            CORSMiddleware,
            allow_origins=services.settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID"],
            expose_headers=["ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"],
        )
    app.add_middleware(Protection, private=services.settings.auth == "required")
    app.state.figures = registry_of(services.store, services.queue)
    app.add_middleware(Measured, registry=app.state.figures, worth=services.settings.log_answers)
    app.add_middleware(RequestIds)
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    openapi.install(app)
    return app


def _lifespan_of(
    services: Services, rules: Rules, *, own_checkers: bool
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        services.pools.limit_lookups()
        services.feed.open()
        services.waker.start()
        if own_checkers:
            services.checkers.start()
        yield
        services.feed.close()
        services.waker.stop()
        await rules.counter.close()
        if own_checkers:
            services.checkers.end()
        services.database.dispose()

    return lifespan


class Server(uvicorn.Server):
    """A uvicorn that ends event streams as soon as it is told to stop; see `app.feed`."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self.services = services

    def handle_exit(self, sig: int, frame: object) -> None:
        """Called by the signal handler: say it to the streams first, then stop."""
        self.services.feed.close()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


def inherited(descriptor: int | None) -> list[socket.socket] | None:
    """Return the socket that the supervisor listens on, or None: uvicorn then opens its own.

    uvicorn would take a descriptor for a Unix socket. asyncio sets TCP_NODELAY on the connections of a TCP socket only,
    and without it the body of every answer but a connection's first waits for the client's delayed acknowledgement.
    """
    return None if descriptor is None else [socket.socket(fileno=descriptor)]


def uvicorn_config(app: FastAPI, settings: AppSettings, http: type[BoundedHttp] = BoundedHttp) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level="warning",
        access_log=False,
        # uvicorn believes X-Forwarded-For of this machine unless it is forbidden to.
        root_path=settings.root_path,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=settings.shutdown_seconds,
        server_header=False,
        http=http,
    )


def main() -> None:
    """Serve until SIGTERM or SIGINT, unless the settings would let anybody in from anywhere."""
    app = create_app(settings_or_exit(AppSettings), settings_or_exit(WorkerSettings))
    services: Services = app.state.services
    settings = services.settings
    listeners = inherited(settings.listen_fd)
    exposed = exposure(settings.auth, listeners[0].getsockname()[0] if listeners else settings.host)
    if exposed is not None:
        sys.exit(f"halfstep: {exposed}")
    logs.configure(services.shared.log_format)
    # What lives as long as the process need not be looked through by every collection while requests wait.
    gc.collect()
    gc.freeze()
    Server(uvicorn_config(app, settings), services).run(listeners)


if __name__ == "__main__":
    main()
