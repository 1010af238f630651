"""Real worker and reaper processes on a real broker and database, for tests that kill them."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.waiting import until
from worker import broker
from worker.jobs import database
from worker.jobs.records import Job, Wakeup
from worker.jobs.store import JobStore
from worker.queue import CeleryQueue, deliver
from worker.settings import WorkerSettings
from worker.specs import check
from worker.specs.job import JobSpec

ROOT = Path(__file__).parents[2]


@dataclass
class Installation:
    """One data folder with its broker, and the processes that a test starts on it."""

    settings: WorkerSettings
    store: JobStore
    queue: CeleryQueue
    environment: dict[str, str]
    processes: list[subprocess.Popen] = field(default_factory=list)

    def start(self, module: str, *arguments: str) -> subprocess.Popen:
        """Start `python -m module` in a process group of its own; its output goes to a file in the data folder."""
        command = [sys.executable, "-m", module, "--parent", str(os.getpid()), *arguments]
        with (self.settings.data_dir / f"{module}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def start_worker(self, *arguments: str) -> subprocess.Popen:
        """Start a worker and return when it takes messages."""
        before = {worker["pid"] for worker in self.queue.workers()}
        worker = self.start("worker", *arguments)
        until(lambda: {w["pid"] for w in self.queue.workers()} - before, what="the worker to consume")
        return worker

    def submit(self, spec: dict[str, Any]) -> Job:
        """Do what the API does."""
        summary = check.prepare(JobSpec.model_validate(spec), self.settings.limits).summary
        job = self.store.create(spec, total_steps=summary.total_steps, epochs=summary.epochs)
        deliver(self.store, self.queue, Wakeup(job.id, job.attempt))
        return job

    def finished(self, job: Job) -> Job:
        """Wait for the job's end."""
        until(lambda: self.store.get(job.id).terminal, what=f"{job.id} to end")
        return self.store.get(job.id)

    def event(self, job: Job, kind: str, after: int = 0) -> int:
        """Wait for an event of a kind with an id above `after`, and return its id."""

        def find() -> int:
            events = self.store.events(job.id, after=after, limit=100_000)
            return next((event.id for event in events if event.type == kind), 0)

        return until(find, what=f"an event {kind}")

    def digest(self, job: Job) -> str:
        """SHA-256 of the job's model file."""
        return next(made.sha256 for made in self.store.artifacts(job.id) if made.name == "model.safetensors")

    def stop(self) -> None:
        """End everything that a test left."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def installed(folder: Path, database_url: str = "", **settings: float) -> Iterator[Installation]:
    """An empty installation with a running broker; nothing else runs yet. SQLite unless another database is given."""
    environment = {f"HALFSTEP_{name.upper()}": str(value) for name, value in settings.items()}
    with broker.running(folder) as url:
        shared = WorkerSettings(data_dir=folder, broker_url=url)
        shared = shared.model_copy(update={"database_url": database_url or shared.database_url})
        database.migrate(shared.database_url)
        engine = database.create(shared.database_url)
        places = {
            "HALFSTEP_DATA_DIR": str(folder),
            "HALFSTEP_BROKER_URL": url,
            "HALFSTEP_DATABASE_URL": shared.database_url,
        }
        here = Installation(shared, JobStore(engine), CeleryQueue(url), {**os.environ, **places, **environment})
        try:
            yield here
        finally:
            here.stop()
            here.queue.close()
            engine.dispose()


def writable(url: str) -> bool:
    """Whether nobody holds the lock on writing to a whole SQLite database."""
    if not url.startswith("sqlite"):
        return True
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.5, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
    return True


def stop_group(group: int) -> None:
    """Stop all processes of a group, and return when they stand.

    The signal alone is not enough: a thread that is within a system call ends that first, and it may be the one that
    takes the database's lock.
    """
    os.killpg(group, signal.SIGSTOP)
    until(lambda: all(state == "T" for state in _states(group)), what="the processes to stand")


def _states(group: int) -> Iterator[str]:
    """States of all threads of all processes of a group that are not dead."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts = [
                (task / "stat").read_text(encoding="utf-8", errors="replace") for task in (process / "task").iterdir()
            ]
        except OSError:  # it, or a thread of it, ended meanwhile
            continue
        for fields in (text.rpartition(")")[2].split() for text in texts):
            if int(fields[2]) == group and fields[0] not in {"Z", "X"}:
                yield fields[0]
