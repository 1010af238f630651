"""The Celery worker: hears the bell and runs slices in child processes, one job at a time each."""

import json
import logging
import mmap
import os
import socket
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import click
import redis
from celery import Celery, bootsteps
from celery.signals import worker_shutting_down
from sqlalchemy.exc import DBAPIError

from worker import memory
from worker.jobs import database, logs
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.figures import SliceFigures
from worker.jobs.files import FileStore
from worker.jobs.records import Wakeup
from worker.jobs.store import JobStore
from worker.lifeline import end_with_parent, this_process
from worker.queue import (
    CONSUMER_KEY,
    CONSUMER_SECONDS,
    QUEUE,
    SLICE_TASK,
    SOCKET_SECONDS,
    CeleryQueue,
    QueueUnavailable,
    celery_url,
    client_url,
    deliver,
)
from worker.runner import Prepare, RunnerDeps, SliceOutcome, Trainer, run_next
from worker.settings import WorkerSettings, settings_or_exit
from worker.specs import check
from worker.specs.check import Prepared
from worker.specs.job import JobSpec
from worker.specs.uploads import Uploads

logger = logging.getLogger(__name__)


SLICES_OF_A_CHILD = 200


class Flag:
    """One bit that a process and the children it forks later all see."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Raise it, for good."""
        self._memory[0] = 1

    def is_set(self) -> bool:
        """Whether anybody raised it."""
        return self._memory[0] == 1


def celery_app(settings: WorkerSettings, prepare: Prepare) -> Celery:
    """Make the application of one worker.

    Args:
        settings: where everything is.
        prepare: from a JobSpec to a trainer.
    """
    app = Celery("halfstep", set_as_current=False)
    app.conf.update(configuration(settings))
    stopping = Flag()
    worker_shutting_down.connect(lambda **_: stopping.set(), weak=False)

    @cache
    def parts() -> tuple[RunnerDeps, CeleryQueue]:
        """Made in each child at its first task: connections must not be shared over a fork."""
        queue = CeleryQueue(settings.broker_url)
        deps = RunnerDeps(
            store=JobStore(database.create(settings.database_url)),
            artifacts=ArtifactStore(settings.artifacts_url),
            prepare=prepare,
            settings=settings,
            owner=this_process(),
            stopping=stopping.is_set,
            tell=partial(tell, queue),
        )
        return deps, queue

    @app.task(name=SLICE_TASK)
    def run(job_id: str) -> str:
        """Run a slice of the job whose turn it is, which need not be the one that rang; if it goes on, ring again."""
        deps, queue = parts()
        rang = job_id
        job_id, outcome = run_next(deps)
        logger.info("job %s (rung by %s): %s", job_id or "none", rang, outcome)
        if outcome is SliceOutcome.QUEUED:
            ring(deps.store, queue, job_id)
        return outcome.value

    app.steps["consumer"].add(consumer_sign(settings.broker_url))
    return app


def tell(queue: CeleryQueue, figures: SliceFigures) -> None:
    """Add a slice to the sums; no job waits for that if the broker is away."""
    try:
        queue.count(figures.counts())
    except QueueUnavailable as error:
        logger.info("a slice is not counted: %s", error)


def ring(store: JobStore, queue: CeleryQueue, job_id: str) -> None:
    """Send what the slice left in the outbox; if that fails, the reaper sends it."""
    try:
        deliver(store, queue, Wakeup(job_id, store.get(job_id).attempt))
    except (QueueUnavailable, DBAPIError) as error:
        logger.warning("job %s is announced by the reaper: %s", job_id, error)


def configuration(settings: WorkerSettings) -> dict[str, Any]:
    """Celery's settings. Messages are bells: taken off the queue for good when a child is free for them."""
    return {
        "broker_url": celery_url(settings.broker_url),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_default_queue": QUEUE,
        "task_acks_late": False,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # What a child's heap keeps of earlier jobs is not counted in the memory of the next one.
        "worker_max_tasks_per_child": SLICES_OF_A_CHILD,
        # A message taken early would wait behind a slice while another worker is free.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_enable_prefetch_count_reduction": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_send_task_events": False,
    }


def consumer_sign(broker_url: str) -> type[bootsteps.StartStopStep]:
    """A step of Celery's consumer that keeps this worker's key in the broker alive.

    The timer runs in the very loop that receives messages and only while it is connected, so that a worker that has
    stalled, though its process lives, is missed.
    """

    class ConsumerSign(bootsteps.StartStopStep):
        requires = {"celery.worker.consumer.tasks:Tasks"}  # noqa: RUF012  # Celery's way to say it

        def start(self, consumer: Any) -> None:
            self._redis = redis.Redis.from_url(
                client_url(broker_url), socket_timeout=SOCKET_SECONDS, socket_connect_timeout=SOCKET_SECONDS
            )
            self._key = f"{CONSUMER_KEY}{this_process()}"
            slots = consumer.pool.num_processes
            self._value = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "slots": slots})
            self._show()
            self._entry = consumer.timer.call_repeatedly(CONSUMER_SECONDS / 3, self._show)

        def _show(self) -> None:
            try:
                self._redis.set(self._key, self._value, ex=CONSUMER_SECONDS)
            except redis.RedisError as error:
                logger.warning("the broker does not answer: %s", error)

        def stop(self, _consumer: Any) -> None:
            self._entry.cancel()
            try:
                self._redis.delete(self._key)
            except redis.RedisError:
                logger.info("the broker is gone before the worker")
            self._redis.close()

    return ConsumerSign


def check_job(settings: WorkerSettings) -> Callable[[Mapping[str, Any]], Prepared]:
    """The check that let a job in, of its spec as JSON."""
    # Connections are made when first used, so after the fork. A job's file is pinned by its SHA-256.
    artifacts = ArtifactStore(settings.artifacts_url)
    uploads = Uploads(FileStore(database.create(settings.database_url), artifacts))
    return lambda spec: check.prepare(JobSpec.model_validate(spec), settings.limits, uploads)


def prepare_job(settings: WorkerSettings) -> Prepare:
    """The real way from a JobSpec (as JSON) to a trainer."""
    checked = check_job(settings)
    return lambda spec: checked(spec).trainer


def prepare_within(settings: WorkerSettings, most: int) -> Prepare:
    """The same, in a process that trains nothing else: from then on it has the memory that the job may need.

    Args:
        settings: where everything is.
        most: bytes that any job may take.
    """
    checked = check_job(settings)

    def prepare(spec: Mapping[str, Any]) -> Trainer:
        base = memory.lift()
        memory.bind(base, most)
        found = checked(spec)
        memory.bind(base, min(found.needed_bytes, most))
        return found.trainer

    return prepare


@click.command()
@click.option("--concurrency", default=1, show_default=True, help="Jobs trained at once, each in a process.")
@click.option("--parent", type=int, help="End when this process, which started this one, ends.")
def main(concurrency: int, parent: int | None) -> None:
    """Run a worker until SIGTERM; running slices then save and give their jobs back."""
    if parent is not None:
        end_with_parent(parent)
    settings = settings_or_exit(WorkerSettings)
    logs.configure(settings.log_format)
    database.migrate(settings.database_url)
    most = settings.job_memory_bytes or memory.usable() // max(concurrency, 1)
    app = celery_app(settings, prepare_within(settings, most))
    app.worker_main(
        [
            "worker",
            "--pool=prefork",
            f"--concurrency={concurrency}",
            "--without-gossip",
            "--without-mingle",
            "--loglevel=INFO",
            f"--hostname=worker-{os.getpid()}@{socket.gethostname()}",
        ]
    )


if __name__ == "__main__":
    main()
