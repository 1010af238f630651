"""A whole service of real processes, each of which may be killed, frozen, and started again."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

from app.client import ApiError, Client, ServiceFault, Unreachable
from tests.e2e.workers import Installation, installed
from tests.postgres import Postgres
from tests.waiting import PATIENCE, until
from worker.jobs.recovery import Lease
from worker.queue import QueueUnavailable, client_url

WORKERS = ("worker 1", "worker 2")
PARTS: Mapping[str, str] = {"api": "app.main", "reaper": "worker.reaper", **dict.fromkeys(WORKERS, "worker")}


def _nothing() -> None:
    return None


@dataclass
class Service:
    """The parts by name; what dies is started again by whoever killed it, as a supervisor would."""

    here: Installation
    client: Client
    postgres: Postgres | None
    parts: dict[str, subprocess.Popen] = field(default_factory=dict)
    feed: Callable[[], None] = _nothing
    """Sends another job; whoever runs the campaign says which."""

    def start(self, *names: str) -> None:
        """Start parts, and return when they work."""
        for name in names:
            self.parts[name] = self.here.start(PARTS[name])
        if "api" in names:
            until(self.answers, what="the API to answer")
        for name in set(names) & set(WORKERS):
            until(partial(self._consumes, self.parts[name].pid), what=f"{name} to consume")

    def kill(self, name: str) -> None:
        """Kill a part with all its children, and wait until it is gone."""
        os.killpg(self.parts[name].pid, signal.SIGKILL)
        self.parts[name].wait()

    def end(self, name: str) -> None:
        """Ask a part to end, and wait until it did."""
        self.parts[name].terminate()
        self.parts[name].wait(PATIENCE)

    def answers(self) -> bool:
        """Whether the API and the database behind it answer."""
        try:
            list(zip(self.client.jobs(limit=1), range(1), strict=False))
        except (Unreachable, ApiError):
            return False
        return True

    def _consumes(self, pid: int) -> bool:
        try:
            return pid in {int(worker["pid"]) for worker in self.here.queue.workers()}
        except QueueUnavailable:
            return False

    def worker_of(self, lease: Lease) -> str:
        """The worker that holds a lease, by the group of the process that it names; empty if that is gone."""
        try:
            group = os.getpgid(int(lease.owner.split("/")[2]))
        except ProcessLookupError:
            return ""
        return next((name for name in WORKERS if self.parts[name].pid == group), "")

    def submit(self, spec: dict[str, Any], key: str) -> str:
        """Send a job as a careful client does: again with the same key until the service has it."""
        return until(lambda: self._submitted(spec, key), what=f"{key} to be accepted")

    def _submitted(self, spec: dict[str, Any], key: str) -> str:
        try:
            return str(self.client.submit(spec, idempotency_key=key)["id"])
        except (Unreachable, ServiceFault):
            return ""

    def kill_broker(self, *, forget: bool = False) -> None:
        """Kill the broker where it stands, perhaps with all that it kept, and start it again."""
        with redis.Redis.from_url(client_url(self.here.settings.broker_url)) as client:
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
        if forget:
            shutil.rmtree(self.here.settings.data_dir / "broker" / "appendonlydir")
        self.here.start("worker.broker", str(self.here.settings.data_dir))
        until(self._broker_answers, what="the broker")

    def _broker_answers(self) -> bool:
        try:
            self.here.queue.ping()
        except QueueUnavailable:
            return False
        return True


@contextmanager
def served(folder: Path, postgres: Postgres | None, database_url: str, **settings: float) -> Iterator[Service]:
    """Run API, reaper and two workers in `folder` until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with installed(folder, database_url, **settings, port=port) as here, Client(f"http://127.0.0.1:{port}") as client:
        service = Service(here, client, postgres)
        service.start(*PARTS)
        yield service
