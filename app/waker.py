"""Announces jobs to the workers without making anybody wait for the broker."""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Full, Queue
from threading import Thread

from sqlalchemy.exc import SQLAlchemyError

from worker.jobs.records import Job, Wakeup

logger = logging.getLogger(__name__)

_LONGEST = 1000


class Waker:
    """One thread that wakes workers, and a short line before it.

    A wake-up that is lost here (the line is full, the broker is down, the process ends) is sent by the reaper, which
    reads the outbox: this is only the faster way.
    """

    def __init__(self, deliver: Callable[[Wakeup], None]) -> None:
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
        while (wakeup := self._line.get()) is not None:
            try:
                self._deliver(wakeup)
            except (OSError, SQLAlchemyError) as error:
                logger.warning("job %s is left to the reaper: %s", wakeup.job_id, error)
