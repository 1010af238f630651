"""A bare Celery app with one task that does nothing but say so: what the queue alone costs.

`python -m benchmarks.bare_celery URL` is its worker.
"""

import os
import sys

import redis
from celery import Celery, Task

from worker.queue import celery_url

DONE = "bare-celery-done"
QUEUE = "bare-celery"


def bare_app(broker_url: str) -> Celery:
    """The app, with the settings that Halfstep gives its own."""
    app = Celery("bare", broker=celery_url(broker_url))
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
    )
    client = redis.Redis.from_url(broker_url, socket_timeout=None)

    @app.task(name="nothing", bind=True)  # type: ignore[untyped-decorator]
    def nothing(task: Task) -> None:
        client.rpush(DONE, task.request.id)

    return app


def main() -> None:
    """Work until stopped, as many processes as the second argument says."""
    url, processes = sys.argv[1:3]
    options = ["--concurrency", processes, "--without-gossip", "--without-mingle", "--without-heartbeat"]
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    bare_app(url).worker_main(["worker", "--loglevel", "ERROR", "--pool", "prefork", *options])


if __name__ == "__main__":
    main()
