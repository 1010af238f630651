"""Announces jobs to the workers without making anybody wait for the broker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, Full, Queue
from threading import Thread

from sqlalchemy.exc import SQLAlchemyError

from worker.jobs.records import Job, Wakeup

logger = logging.getLogger(__name__)

_LONGEST = 1000
_BATCH = 100
"""Jobs that are marked as announced in one transaction, which must not keep others from writing for long."""


class Waker:
    """One thread that wakes workers, and a short line before it, of which it takes all that waits at once.

    A wake-up that is lost here (the line is full, the broker is down, the process ends) is sent by the reaper, which
    reads the outbox: this is only the faster way.
    """

    def __init__(self, deliver: Callable[..., None]) -> None:
        self._deliver = deliver
        self._line: Queue[Wakeup | None] = Queue(_LONGEST)
        self._thread = Thread(target=self._run, name="waker", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what still waits in line is left to the reaper."""
        self._put(None)

    def wake(self, job: Job) -> None:
        """Announce the job soon; returns at once."""
        self._put(Wakeup(job.id, job.attempt))

    def _put(self, wakeup: Wakeup | None) -> None:
        try:
            self._line.put_nowait(wakeup)
        except Full:
            logger.warning("the line to the broker is full; the reaper announces what is not in it")

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            waiting = [self._line.get(), *self._rest()]
            wakeups = [wakeup for wakeup in waiting if wakeup is not None]
            goes_on = len(wakeups) == len(waiting)
            try:
                self._deliver(*wakeups)
            except (OSError, SQLAlchemyError) as error:
                logger.warning("%d jobs are left to the reaper, the first is %s: %s", *_named(wakeups), error)

    def _rest(self) -> Iterator[Wakeup | None]:
        """Yield what else waits just now, up to a batch."""
        try:
            for _ in range(_BATCH - 1):
                yield self._line.get_nowait()
        except Empty:
            return


def _named(wakeups: Sequence[Wakeup]) -> tuple[int, str]:
    return len(wakeups), wakeups[0].job_id if wakeups else ""
