"""The reaper: takes jobs back from workers that are gone, and rings again for every job whose bell was not heard.

Any number may run: each change is a compare-and-set on the job's row, and a doubled message does nothing.
`python -m worker.reaper` runs one until SIGTERM.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread

import click
from sqlalchemy.exc import DBAPIError

from worker import sending
from worker.heartbeat import is_passing
from worker.jobs import database
from worker.jobs.records import Wakeup
from worker.jobs.recovery import Lease
from worker.jobs.states import JobStatus
from worker.jobs.store import Clock, JobStore
from worker.jobs.webhooks import WebhookStore
from worker.lifeline import end_with_parent, is_dead
from worker.queue import CeleryQueue, Queue, QueueUnavailable, deliver
from worker.sending import Sender
from worker.settings import WorkerSettings

logger = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
"""How long whoever wrote an outbox entry is given to send it."""
BATCH = 500
"""Wake-ups sent in one round at most, so that a round stays short."""


@dataclass(frozen=True)
class Round:
    """What one round did."""

    taken_back: int = 0
    sent: int = 0
    sent_again: int = 0


@dataclass(frozen=True)
class Reaper:
    """What a round works with.

    Attributes:
        store: the book of jobs.
        queue: the bell.
        settings: for how long a job may go unheard.
        is_dead: whether the process of an owner's name is known to be gone.
        clock: unix seconds; the store's.
    """

    store: JobStore
    queue: Queue
    settings: WorkerSettings
    is_dead: Callable[[str], bool] = is_dead
    clock: Clock = time.time

    def round(self) -> Round:
        """Look once. Raises: QueueUnavailable, after everything that needs no broker is done."""
        taken = [lease for lease in self.store.leases() if self._take_back(lease)]
        sent = self._send_outbox({lease.job_id for lease in taken})
        return Round(len(taken), sent, self._send_again())

    def _take_back(self, lease: Lease) -> bool:
        reason = self._reason(lease)
        if reason is None:
            return False
        status = self.store.take_back(lease, reason, self.settings.max_lost_leases)
        if status is not None:
            logger.warning("job %s: slice %d lost (%s), now %s", lease.job_id, lease.attempt, reason, status)
        return status is JobStatus.QUEUED

    def _reason(self, lease: Lease) -> str | None:
        if self.is_dead(lease.owner):
            return "worker_died"
        return "lease_expired" if lease.until <= self.clock() else None

    def _send_outbox(self, at_once: set[str]) -> int:
        waiting = self.store.undelivered(limit=BATCH)
        late = self.clock() - GRACE_SECONDS
        return self._deliver([item for item in waiting if item.job_id in at_once or item.created_at <= late])

    def _send_again(self) -> int:
        """Send wake-ups that the broker must have lost: it holds fewer messages than there are queued jobs."""
        missing = self.store.waiting() - self.queue.depth()
        if missing <= 0:
            return 0
        limit = min(missing, BATCH)
        return self._deliver(self.store.forgotten(older_than=self.settings.rewake_seconds, limit=limit))

    def _deliver(self, wakeups: Sequence[Wakeup]) -> int:
        for wakeup in wakeups:
            deliver(self.store, self.queue, wakeup)
        return len(wakeups)


def run(reaper: Reaper, stop: Event) -> None:
    """Go round until `stop` is set. Database and broker may come and go; each trouble is logged once."""
    trouble = ""
    while True:
        said = _round(reaper)
        if said and not trouble:
            logger.warning("the reaper waits: %s", said)
        trouble = said
        if stop.wait(reaper.settings.reaper_seconds):
            return


def _round(reaper: Reaper) -> str:
    """One round; what kept it from its end, or nothing."""
    try:
        done = reaper.round()
    except QueueUnavailable as error:
        return str(error)
    except DBAPIError as error:
        if not is_passing(error):
            raise
        return f"The database does not answer: {error.orig}"
    if done != Round():
        logger.info("%s", done)
    return ""


@click.command()
@click.option("--parent", type=int, help="End when this process, which started this one, ends.")
def main(parent: int | None) -> None:
    """Run the reaper until SIGTERM or SIGINT."""
    if parent is not None:
        end_with_parent(parent)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = WorkerSettings()
    database.migrate(settings.database_url)
    logger.info("reaper %d runs", os.getpid())
    engine = database.create(settings.database_url)
    telling = Thread(target=sending.run, args=(Sender(WebhookStore(engine), settings), stop), name="webhooks")
    telling.start()
    run(Reaper(JobStore(engine), CeleryQueue(settings.broker_url), settings), stop)
    telling.join()


if __name__ == "__main__":
    main()
