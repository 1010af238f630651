"""The reaper: takes jobs back from workers that are gone, and rings again for every job whose bell was not heard.

Any number may run: each change is a compare-and-set on the job's row, and a doubled message does nothing.
`python -m worker.reaper` runs one until SIGTERM.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

import click
from sqlalchemy.exc import DBAPIError

from worker import sending
from worker.heartbeat import is_passing
from worker.jobs import database, logs
from worker.jobs.figures import LEASES_LOST, SENT_AGAIN
from worker.jobs.records import Wakeup
from worker.jobs.recovery import Lease
from worker.jobs.states import JobStatus
from worker.jobs.store import Clock, JobStore
from worker.jobs.webhooks import WebhookStore
from worker.lifeline import end_frozen, end_with_parent, is_dead
from worker.queue import CeleryQueue, Queue, QueueUnavailable, deliver
from worker.sending import Sender
from worker.settings import WorkerSettings, settings_or_exit

logger = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
"""How long whoever wrote an outbox entry is given to send it."""
BUSY_SECONDS = 2.0
"""How long a round waits for another writer of SQLite before it asks who that is."""
BATCH = 500
"""Wake-ups sent in one round at most, so that a round stays short."""


@dataclass(frozen=True)
class Round:
    """What one round did."""

    taken_back: int = 0
    sent: int = 0
    sent_again: int = 0


class Watch:
    """For how long each lease stood without being renewed, by a clock that nobody can set.

    The time that a lease carries is its holder's; between hosts, or when an administrator sets a clock, it means
    nothing to others. That it changes with each renewal does.

    Args:
        monotonic: seconds that only ever grow.
    """

    def __init__(self, monotonic: Clock = time.monotonic) -> None:
        self._monotonic = monotonic
        self._since: Mapping[Lease, float] = {}

    def ages(self, leases: Sequence[Lease]) -> Mapping[Lease, float]:
        """Seconds since each of these was first seen as it is; forgets all others."""
        now = self._monotonic()
        self._since = {lease: self._since.get(lease, now) for lease in leases}
        return {lease: now - since for lease, since in self._since.items()}


@dataclass(frozen=True)
class Reaper:
    """What a round works with.

    Attributes:
        store: the book of jobs.
        queue: the bell.
        settings: for how long a job may go unheard.
        is_dead: whether the process of an owner's name is known to be gone.
        clock: unix seconds; the store's.
        watch: remembers leases from round to round.
        end_frozen: kills the process of an owner's name if it is stopped.
    """

    store: JobStore
    queue: Queue
    settings: WorkerSettings
    is_dead: Callable[[str], bool] = is_dead
    clock: Clock = time.time
    watch: Watch = field(default_factory=Watch)
    end_frozen: Callable[[str], bool] = end_frozen

    def round(self) -> Round:
        """Look once. Raises: QueueUnavailable, after everything that needs no broker is done."""
        ages = self.watch.ages(self.store.leases())
        try:
            taken = [lease for lease, age in ages.items() if self._take_back(lease, age)]
        except DBAPIError as error:
            if database.is_locked(error):
                self._unlock(ages)
            raise
        sent = self._send_outbox({lease.job_id for lease in taken})
        done = Round(len(taken), sent, self._send_again())
        if done.taken_back or done.sent_again:
            self.queue.count({LEASES_LOST: done.taken_back, SENT_AGAIN: done.sent_again})
        return done

    def _take_back(self, lease: Lease, age: float) -> bool:
        reason = self._reason(lease, age)
        if reason is None:
            return False
        status = self.store.take_back(lease, reason, self.settings.max_lost_leases)
        if status is not None:
            logger.warning("job %s: slice %d lost (%s), now %s", lease.job_id, lease.attempt, reason, status)
        return status is JobStatus.QUEUED

    def _unlock(self, ages: Mapping[Lease, float]) -> None:
        """End frozen holders of leases that are over: one frozen within a write of SQLite keeps everybody from writing.

        Nothing is lost by that: the write is rolled back, and whatever they wrote after waking up would be refused.
        """
        for lease, age in ages.items():
            if age >= self.settings.lease_seconds and self.end_frozen(lease.owner):
                logger.warning("job %s: its frozen worker was killed, the database is locked", lease.job_id)

    def _reason(self, lease: Lease, age: float) -> str | None:
        if self.is_dead(lease.owner):
            return "worker_died"
        return "lease_expired" if age >= self.settings.lease_seconds else None

    def _send_outbox(self, at_once: set[str]) -> int:
        waiting = self.store.undelivered(limit=BATCH)
        now = self.clock()
        # One from the future was written before a clock was set back: its writer's time is long over.
        due = [item for item in waiting if not now - GRACE_SECONDS < item.created_at <= now or item.job_id in at_once]
        return self._deliver(due)

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
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = settings_or_exit(WorkerSettings)
    logs.configure(settings.log_format)
    database.migrate(settings.database_url)
    logger.info("reaper %d runs", os.getpid())
    engine = database.create(settings.database_url)
    telling = Thread(target=sending.run, args=(Sender(WebhookStore(engine), settings), stop), name="webhooks")
    telling.start()
    store = JobStore(database.create(settings.database_url, busy_seconds=BUSY_SECONDS))
    run(Reaper(store, CeleryQueue(settings.broker_url), settings), stop)
    telling.join()


if __name__ == "__main__":
    main()
