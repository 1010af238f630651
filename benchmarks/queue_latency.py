"""What a job costs beside a bare Celery task that does nothing, on the same broker, in one run.

`python -m benchmarks.queue_latency [--rounds 20] [--jobs 100] [--workers 1]` starts everything it needs in a temporary
folder. Latency is measured in turns: from the submit call to the first event that tells of a step (or of the end),
as a client sees it over HTTP, beside `apply_async` until the task said so. Throughput: jobs of one step each,
submitted at once, until the last has ended, beside as many bare tasks.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import redis
from celery import Celery

from app.client import ApiError, Client, Unreachable
from benchmarks.bare_celery import DONE, bare_app
from benchmarks.interleaved import Timing, interleave, table
from worker import broker

START_SECONDS = 30.0
TELLS_OF_A_STEP = {"job.metrics", "job.epoch", "job.skipped_step", "job.succeeded", "job.failed"}
JOB: dict[str, Any] = {
    "model": {
        "class_name": "Sequential",
        "config": {
            "name": "one",
            "layers": [{"class_name": "Dense", "config": {"units": 1, "batch_input_shape": [None, 1]}}],
        },
    },
    "policy": "mixed_float16",
    "compile": {"optimizer": "sgd", "loss": "mse"},
    "fit": {"batch_size": 1, "epochs": 1},
    "data": {"x": [[0.125]], "y": [[0.25]]},
}


@dataclass(frozen=True)
class Stack:
    """Halfstep and a bare Celery worker, running on one broker."""

    client: Client
    celery: Celery
    redis: redis.Redis
    recorded: list[float] = field(default_factory=list)
    """Seconds from each submit call to its first step, by the clock of the job's event log."""

    def first_step(self) -> None:
        """Submit a job and return when its first step is known."""
        started = time.time()
        job = self.client.submit(JOB)
        event = next(event for event in self.client.events(job["id"]) if event["type"] in TELLS_OF_A_STEP)
        if event["type"] == "job.failed":
            raise RuntimeError(f"the job failed: {event}")
        self.recorded.append(event["created_at"] - started)

    def bare_task(self) -> None:
        """Submit a task that does nothing and return when it was done."""
        self.celery.send_task("nothing")
        self.redis.blpop([DONE])

    def many_jobs(self, count: int) -> None:
        """Submit `count` jobs and return when all have ended."""
        for job in [self.client.submit(JOB)["id"] for _ in range(count)]:
            _until(partial(self._succeeded, job), 30 + count, f"job {job}")

    def _succeeded(self, job: str) -> bool:
        status = self.client.get(job)["status"]
        if status == "failed":
            raise RuntimeError(f"job {job} failed")
        return bool(status == "succeeded")

    def many_tasks(self, count: int) -> None:
        """Submit `count` bare tasks and return when all are done."""
        for _ in range(count):
            self.celery.send_task("nothing")
        for _ in range(count):
            self.redis.blpop([DONE])


@contextmanager
def running_stack(folder: Path, workers: int) -> Iterator[Stack]:
    """Start the broker, `halfstep serve` and the bare worker; end them all."""
    with ExitStack() as stack:
        url = stack.enter_context(broker.running(folder))
        address = f"http://127.0.0.1:{_free_port()}"
        port, host_folder = address.rsplit(":", 1)[1], str(folder)
        serve = ["app.serve", "--port", port, "--data-dir", host_folder, "--workers", str(workers)]
        stack.enter_context(_process(serve, HALFSTEP_BROKER_URL=url))
        stack.enter_context(_process(["benchmarks.bare_celery", url, str(workers)]))
        client = stack.enter_context(Client(address))
        store = stack.enter_context(redis.Redis.from_url(url, socket_timeout=None))
        ready = Stack(client, bare_app(url), store)
        _until(lambda: _is_ready(client), START_SECONDS, "the service to be ready")
        ready.bare_task()
        yield ready


@contextmanager
def _process(arguments: list[str], **environment: str) -> Iterator[None]:
    command = [sys.executable, "-W", "ignore", "-m", *arguments]  # Celery warns of root at length
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **environment}) as process:
        try:
            yield
        finally:
            process.terminate()


def _is_ready(client: Client) -> bool:
    try:
        client.ready()
    except (ApiError, Unreachable):
        return False
    return True


def _until(predicate: Callable[[], bool], timeout: float, what: str) -> None:
    deadline, pause = time.monotonic() + timeout, Event()
    while not predicate():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        pause.wait(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rates(timings: tuple[Timing, ...], count: int) -> str:
    """Throughput as text, one line a timing."""
    return "\n".join(
        f"{timing.name:24} {count / statistics.median(timing.seconds):8.1f} a second" for timing in timings
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=20, help="latencies measured of each kind")
    parser.add_argument("--jobs", type=int, default=100, help="jobs and tasks of one throughput round")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of each kind")
    options = parser.parse_args()
    count = options.jobs
    with (
        tempfile.TemporaryDirectory(prefix="halfstep-bench-") as name,
        running_stack(Path(name), options.workers) as stack,
    ):
        one = {"bare Celery task": stack.bare_task, "job, to first step": stack.first_step}
        latency = interleave(one, options.rounds)
        many = {"bare Celery tasks": lambda: stack.many_tasks(count), "jobs": lambda: stack.many_jobs(count)}
        throughput = interleave(many, rounds=3, warmups=0)
    recorded = statistics.median(stack.recorded) * 1e3
    print(f"latency, as the client sees it\n{table(latency)}\nby the event log: {recorded:.1f} ms to the first step\n")
    print(f"throughput ({count} at once, {options.workers} worker processes)\n{rates(throughput, count)}")


if __name__ == "__main__":
    main()
