"""A thread that keeps a slice's lease and hears what the user wants of it, while the slice computes."""

import logging
import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy.exc import DBAPIError

from worker.jobs.errors import LeaseLost
from worker.jobs.records import Claim, Directive
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.settings import WorkerSettings

logger = logging.getLogger(__name__)
T = TypeVar("T")

RETRY_SECONDS = 0.25
HASTE_SECONDS = 1.0
"""After which a cancel is carried out here: no op of numpy can be interrupted, and a cancelled job needs no state."""


def _never() -> bool:
    return False


class Heartbeat:
    """Renews the claim's lease while its block runs; `directive` and `insist` are for the slice's own thread.

    The lease counts as lost when the store says so, or when nobody could renew it for as long as it lasts.

    Args:
        store: the book of jobs.
        claim: the slice.
        settings: how often to look.
        stopping: whether the worker was asked to end.

    Attributes:
        cancelled: whether the job was cancelled here, because the slice did not hear of it in time.
    """

    def __init__(
        self, store: JobStore, claim: Claim, settings: WorkerSettings, stopping: Callable[[], bool] = _never
    ) -> None:
        self._store = store
        self._claim = claim
        self._settings = settings
        self._stopping = stopping
        self._directive = Directive.CONTINUE
        self._wanted = Event()
        self._cancel_at: float | None = None
        self.cancelled = False
        self._lost = Event()
        self._stop = Event()
        self._ends = time.monotonic() + settings.lease_seconds
        self._renew_at = time.monotonic() + settings.heartbeat_seconds
        self._thread = Thread(target=self._run, name=f"heartbeat {claim.job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def directive(self) -> Directive:
        """What the user wanted of the slice a moment ago.

        Raises:
            LeaseLost: the slice must stop and write nothing.
        """
        if self._lost.is_set():
            raise LeaseLost(self._claim.job_id, self._claim.attempt)
        return self._directive

    def wanted(self) -> bool:
        """Whether the slice should end as soon as it can: it is asked to, or has lost its lease."""
        return self._wanted.is_set()

    def insist(self, write: Callable[[], T]) -> T:
        """Call `write` until the database takes it, for as long as the lease holds.

        Writes of a slice may be repeated: rows and events of steps that are there already are left as they are.

        Raises:
            LeaseLost: the lease ended first.
        """
        while True:
            try:
                return write()
            except DBAPIError as error:
                if not is_passing(error):
                    raise
                logger.warning("the database did not take a write of job %s: %s", self._claim.job_id, error.orig)
            if self._lost.wait(RETRY_SECONDS):
                raise LeaseLost(self._claim.job_id, self._claim.attempt)

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._settings.directive_seconds):
                self._beat()
        except LeaseLost as lost:
            self._lost.set()
            self._wanted.set()
            logger.warning("%s", lost)
        finally:
            # Also if this thread dies of something else: nobody would renew the lease.
            if not self._stop.is_set():
                self._lost.set()
                self._wanted.set()

    def _beat(self) -> None:
        now = time.monotonic()
        try:
            if now >= self._renew_at:
                self._directive = self._store.renew(self._claim, self._settings.lease_seconds)
                self._ends = now + self._settings.lease_seconds
                self._renew_at = now + self._settings.heartbeat_seconds
            else:
                self._directive = self._store.directive(self._claim)
            self._cancel(now)
        except DBAPIError as error:
            if not is_passing(error) or now >= self._ends:
                raise LeaseLost(self._claim.job_id, self._claim.attempt) from error
        if self._directive is not Directive.CONTINUE or self._stopping():
            self._wanted.set()

    def _cancel(self, now: float) -> None:
        """End a cancelled job whose slice is still busy; from then on the slice can write nothing."""
        if self._directive is not Directive.CANCEL:
            return
        self._cancel_at = self._cancel_at or now + HASTE_SECONDS
        if now >= self._cancel_at:
            self.cancelled = self._store.release(self._claim) is JobStatus.CANCELLED
            raise LeaseLost(self._claim.job_id, self._claim.attempt)


def is_passing(error: DBAPIError) -> bool:
    """Whether a database error may go away by itself: locked, restarting, unreachable."""
    return error.connection_invalidated or type(error).__name__ in {"OperationalError", "InterfaceError"}
