"""The HTTP process in a thread: real sockets, a real store, no worker. Tests play the worker on the store."""

import atexit
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread

import httpx
from fastapi import FastAPI

from app.deps import Services
from app.main import Server, create_app, uvicorn_config
from app.process_pool import ProcessPool
from app.protocol import BoundedHttp
from app.settings import AppSettings
from tests.waiting import PATIENCE, until
from worker.jobs import database
from worker.jobs.records import Claim
from worker.settings import WorkerSettings

SPEC = {
    "model": {
        "class_name": "Sequential",
        "config": {
            "name": "small",
            "layers": [
                {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 64], "dtype": "float32"}},
                {"class_name": "Dense", "config": {"name": "dense", "units": 10, "activation": "softmax"}},
            ],
        },
    },
    "policy": "mixed_float16",
    "compile": {"optimizer": "sgd", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
    "fit": {"batch_size": 64, "epochs": 2, "validation_split": 0.1},
    "data": {"dataset": "digits"},
    "seed": 7,
}
JSON = {"Content-Type": "application/json"}
JOBS = "/v1/training/jobs"


@dataclass(frozen=True)
class Served:
    """A running HTTP process: its services, a client, and its server to be stopped."""

    services: Services
    http: httpx.Client
    url: str
    server: Server

    def submit(self, **changes: object) -> str:
        """Queue a small job, and return its id."""
        response = self.http.post(JOBS, json={**SPEC, **changes})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def claimed(self, job_id: str) -> Claim:
        """Begin a slice of the job, as a worker would."""
        claim = self.services.store.claim(job_id, "tests", 60.0)
        assert claim is not None
        return claim


@cache
def checkers() -> ProcessPool:
    """Return processes that all tests of this run share: to start some for each would take longer than most tests."""
    settings = AppSettings()
    pool = ProcessPool(settings.check_seconds, settings.check_memory_bytes)
    atexit.register(pool.end)
    return pool


@contextmanager
def serving(
    folder: Path,
    settings: AppSettings | None = None,
    change: Callable[[FastAPI], None] | None = None,
    http: type[BoundedHttp] = BoundedHttp,
    listen: Callable[[socket.socket], list[socket.socket]] = lambda listener: [listener],
    pool: Callable[[], ProcessPool] = checkers,
    **shared: object,
) -> Iterator[Served]:
    """Serve from `folder` for as long as the block lasts; the broker is away unless `shared` names one."""
    worker_settings = WorkerSettings(**{"data_dir": folder, "broker_url": f"unix://{folder}/away?db=0", **shared})
    database.migrate(worker_settings.database_url)
    app = create_app(settings or AppSettings(sse_poll_seconds=0.02), worker_settings, pool())
    if change:
        change(app)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn_config(app, app.state.services.settings, http)
        server = Server(config, app.state.services)
        thread = Thread(target=server.run, kwargs={"sockets": listen(listener)})
        thread.start()
        try:
            until(lambda: server.started)
            with httpx.Client(base_url=url, timeout=PATIENCE) as client:
                yield Served(app.state.services, client, url, server)
        finally:  # a test that fails must not leave the thread behind: the interpreter would wait for it
            server.handle_exit(0, None)
            thread.join(20)
        assert not thread.is_alive()
