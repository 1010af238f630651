"""Real processes in a data folder of their own: broker, API, and what else a figure needs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

from app.client import ApiError, Client, Unreachable
from worker import broker
from worker.jobs import database
from worker.jobs.store import JobStore
from worker.settings import WorkerSettings

START_SECONDS = 60.0


@dataclass(frozen=True)
class Stage:
    """A running installation.

    Attributes:
        address: of its API.
        client: talks to it.
        store: its book of jobs, opened from this process too.
        processes: by module name.
    """

    address: str
    client: Client
    store: JobStore
    processes: dict[str, subprocess.Popen[bytes]]

    def page(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest jobs, by one call."""
        return list(islice(self.client.jobs(limit=limit), limit))

    def resident(self, module: str) -> int:
        """Return the bytes that a process holds in memory just now."""
        status = Path(f"/proc/{self.processes[module].pid}/status").read_text("utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


@contextmanager
def stage(*modules: str, **environment: str) -> Iterator[Stage]:
    """Start a broker, `app.main` and further modules ("worker", "worker.reaper"); end them all.

    Args:
        modules: what to start beside the API.
        environment: settings, such as `HALFSTEP_SLICE_SECONDS="2"`.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="halfstep-scale-")))
        url, port = stack.enter_context(broker.running(folder)), str(_free_port())
        settings = {"HALFSTEP_DATA_DIR": str(folder), "HALFSTEP_BROKER_URL": url, "HALFSTEP_PORT": port, **environment}
        engine = database.create(WorkerSettings(data_dir=folder).database_url)
        stack.callback(engine.dispose)
        database.migrate(WorkerSettings(data_dir=folder).database_url)
        started = {
            module: stack.enter_context(process(module, folder / f"{module}.log", settings))
            for module in ("app.main", *modules)
        }
        address = f"http://127.0.0.1:{port}"
        client = stack.enter_context(Client(address))
        until(lambda: _answers(client), "the API")
        yield Stage(address, client, JobStore(engine), started)


@contextmanager
def process(module: str, log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m module` for as long as the block lasts."""
    # A module may be started twice: "worker" and "worker#2". Celery warns of root at length.
    command = [sys.executable, "-W", "ignore", "-m", module.partition("#")[0]]
    with (
        log.open("ab") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **environment}) as running,
    ):
        try:
            yield running
        finally:
            running.terminate()


def until(predicate: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait for something; raise TimeoutError if it does not come."""
    deadline, pause = time.monotonic() + seconds, Event()
    while not predicate():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        pause.wait(0.02)


def _answers(client: Client) -> bool:
    try:
        next(client.jobs(limit=1), None)
    except (ApiError, Unreachable):
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
