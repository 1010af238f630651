"""The queue as a bell: a message says "look at this job" and no more. What it is lost with, the reaper rings again.

Messages are acknowledged as soon as a worker has them, carry nothing but the job's id, and do nothing if the job was
taken already. So neither a lost nor a doubled one matters, and no visibility timeout can run a job twice.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from worker.jobs.records import Wakeup
from worker.jobs.store import JobStore

QUEUE = "halfstep"
SLICE_TASK = "halfstep.slice"
CONSUMER_KEY = "halfstep:consumer:"
"""Keys of this prefix are kept alive, from inside its receiving loop, by each worker that takes messages."""
CONSUMER_SECONDS = 6
FIGURES_KEY = "halfstep:figures"
"""A hash of sums over all processes; see `worker.jobs.figures`."""
SOCKET_SECONDS = 2.0


class QueueUnavailable(ConnectionError):
    """The broker does not answer. Nothing is lost: the outbox holds what was to be sent."""


class Queue(Protocol):
    """What wakes workers."""

    def wake(self, job_id: str) -> None:
        """Ask some worker to look at the job. Raises: QueueUnavailable."""

    def depth(self) -> int:
        """How many messages no worker has taken yet. Raises: QueueUnavailable."""

    def count(self, counts: Mapping[str, float]) -> None:
        """Add to sums that all processes share. Raises: QueueUnavailable."""


class CeleryQueue:
    """Wakes Celery workers through Redis or Valkey. Nothing is connected before the first use.

    A broker that is down or silent costs the caller at most a few seconds, and never a retry loop.

    Args:
        broker_url: `redis://host:port/db`, `rediss://...` or `unix:///path/to/socket?db=0`.
    """

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._celery = producer(broker_url)
        self._redis: redis.Redis = redis.Redis.from_url(
            client_url(broker_url), socket_timeout=SOCKET_SECONDS, socket_connect_timeout=SOCKET_SECONDS
        )

    def wake(self, job_id: str) -> None:
        """Send the message. Raises: QueueUnavailable."""
        with _reported():
            self._celery.send_task(SLICE_TASK, args=[job_id], queue=QUEUE, ignore_result=True, retry=False)

    def depth(self) -> int:
        """Messages that wait. Raises: QueueUnavailable."""
        with _reported():
            return int(self._redis.llen(QUEUE))

    def workers(self) -> tuple[Mapping[str, Any], ...]:
        """Workers whose receiving loop turned in the last seconds: name, slots. Raises: QueueUnavailable."""
        with _reported():
            keys = list(self._redis.scan_iter(match=f"{CONSUMER_KEY}*"))
            values = self._redis.mget(keys) if keys else []
        return tuple(json.loads(value) for value in values if value is not None)

    def count(self, counts: Mapping[str, float]) -> None:
        """Add to sums that all processes share. Raises: QueueUnavailable."""
        with _reported(), self._redis.pipeline(transaction=True) as sums:
            for name, count in counts.items():
                sums.hincrbyfloat(FIGURES_KEY, name, count)
            sums.execute()

    def counted(self) -> Mapping[str, float]:
        """The sums of all that was counted. Raises: QueueUnavailable."""
        with _reported():
            sums = self._redis.hgetall(FIGURES_KEY)
        return {name.decode() if isinstance(name, bytes) else name: float(value) for name, value in sums.items()}

    def ping(self) -> None:
        """Do nothing but make sure that the broker answers. Raises: QueueUnavailable."""
        with _reported():
            self._redis.ping()

    def close(self) -> None:
        """Give the connections back."""
        self._celery.close()
        self._redis.close()


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except (OperationalError, redis.RedisError, OSError) as error:
        raise QueueUnavailable(f"The broker does not answer: {error}") from error


def deliver(store: JobStore, queue: Queue, *wakeups: Wakeup) -> None:
    """Send wake-ups and note in one transaction that they were sent; both may happen twice without harm.

    Raises:
        QueueUnavailable: not all were sent; the others stay in the outbox.
    """
    sent: list[Wakeup] = []
    try:
        for wakeup in wakeups:
            queue.wake(wakeup.job_id)
            sent.append(wakeup)
    finally:
        if sent:
            store.delivered(*sent)


def producer(broker_url: str) -> Celery:
    """The Celery application that only sends: no retries, and short waits for a broker that is not there."""
    app = Celery("halfstep", set_as_current=False)
    app.conf.update(
        broker_url=celery_url(broker_url),
        broker_connection_retry=False,
        broker_connection_timeout=SOCKET_SECONDS,
        broker_transport_options={
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": SOCKET_SECONDS,
            "max_retries": 0,
            "retry_on_timeout": False,
        },
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
    )
    return app


def celery_url(broker_url: str) -> str:
    """The broker's URL as Celery spells it."""
    parts = urlsplit(broker_url)
    if parts.scheme != "unix":
        return broker_url
    return f"redis+socket://{parts.path}?virtual_host={dict(parse_qsl(parts.query)).get('db', '0')}"


def client_url(broker_url: str) -> str:
    """The broker's URL as redis-py spells it."""
    parts = urlsplit(broker_url)
    if parts.scheme not in {"redis+socket", "socket"}:
        return broker_url
    return f"unix://{parts.path}?db={dict(parse_qsl(parts.query)).get('virtual_host', '0')}"
