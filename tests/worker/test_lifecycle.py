"""Any order of calls by users, workers, the reaper and their ghosts keeps the book straight: a state machine."""

from contextlib import nullcontext, suppress

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.worker.clocks import ManualClock
from tests.worker.fakes import SPEC
from tests.worker.test_slices import flush
from worker.jobs import database
from worker.jobs.errors import LeaseLost, TransitionRefused
from worker.jobs.records import Claim, Job, JobError
from worker.jobs.states import ALLOWED, LEASED, TERMINAL, JobStatus
from worker.jobs.store import JobStore
from worker.jobs.tables import jobs

LEASE = 10.0
STEPS = 12


class Lifecycle(RuleBasedStateMachine):
    """One job and everybody who touches it; what the store answers is held against a few plain variables."""

    engine: sa.Engine
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        with database.writing(self.engine) as connection:
            connection.execute(sa.delete(jobs))
        self.clock = ManualClock()
        self.store = JobStore(self.engine, self.clock)
        self.job_id = self.store.create(SPEC, total_steps=STEPS, epochs=3).id
        self.holder: int | None = None
        self.saved = self.step = 0
        self.seen = self.store.get(self.job_id)
        self.end: Job | None = None

    @rule(target=claims)
    def claim(self):
        taken = self.store.claim(self.job_id, "me", LEASE)
        assert (taken is not None) == (self.seen.status is JobStatus.QUEUED)
        if taken is None:
            return Claim(self.job_id, -1, "nobody", (), STEPS, 3)
        assert taken.attempt == self.seen.attempt + 1
        self.holder, self.step = taken.attempt, self.saved
        return taken

    @rule(claim=claims, count=st.integers(1, 5), saved=st.booleans())
    def record(self, claim: Claim, count: int, saved: bool):
        with self._fenced(claim):
            self.store.record(claim, flush(self.step + 1, self.step + count, saved))
            self.step += count
            self.saved = self.step if saved else self.saved

    @rule(claim=claims)
    def renew(self, claim: Claim):
        with self._fenced(claim):
            assert self.store.renew(claim, LEASE) is self.store.directive(claim)

    @rule(claim=claims)
    def release(self, claim: Claim):
        with self._fenced(claim):
            self.store.release(claim)
            self.holder = None

    @rule(claim=claims, good=st.booleans())
    def finish(self, claim: Claim, good: bool):
        with self._fenced(claim):
            if good:
                self.store.succeed(claim, [])
            else:
                self.store.fail(claim, JobError("internal", "no"))
            self.holder = None

    def _fenced(self, claim: Claim):
        """The block must work for the holder and be refused to everybody else."""
        return nullcontext() if claim.attempt == self.holder else pytest.raises(LeaseLost)

    @rule(name=st.sampled_from(["cancel", "pause", "resume"]))
    def ask(self, name: str):
        with suppress(TransitionRefused):
            getattr(self.store, f"request_{name}")(self.job_id)

    @rule(seconds=st.sampled_from([1.0, LEASE + 1]))
    def time_passes(self, seconds: float):
        self.clock.move(seconds)

    @rule()
    def reap(self):
        for lease in self.store.leases():
            if lease.until <= self.clock.now:
                assert self.store.take_back(lease, "lease_expired", 3) is not None
                self.holder = None

    @invariant()
    def the_book_is_straight(self):
        job, before = self.store.get(self.job_id), self.seen
        assert (job.status in LEASED) == (self.holder is not None)
        assert job.attempt in {before.attempt, before.attempt + 1}
        assert self._reachable(before.status, job.status)
        assert job.progress.step == (self.step if self.holder else job.progress.step)
        self._events_are_whole(job)
        self._rows_are_whole(job)
        wakeups = self.store.undelivered()
        assert bool(wakeups) == (job.status is JobStatus.QUEUED) or job.terminal or job.status is JobStatus.PAUSED
        if self.end is not None:
            assert job == self.end
        self.end = job if job.status in TERMINAL else None
        self.seen = job

    @staticmethod
    def _reachable(before: JobStatus, after: JobStatus) -> bool:
        """One rule may take two steps (cancelling to cancelled by a loss is one, a wish and its end never more)."""
        return after is before or after in ALLOWED[before] or any(after in ALLOWED[way] for way in ALLOWED[before])

    def _events_are_whole(self, job: Job) -> None:
        events = self.store.events(self.job_id)
        assert [event.id for event in events] == list(range(1, job.last_event_id + 1))
        told = [event.data["step"] for event in events if event.type == "job.metrics"]
        assert told == sorted(set(told))
        assert sum(event.type in {"job.succeeded", "job.failed", "job.cancelled"} for event in events) == job.terminal

    def _rows_are_whole(self, job: Job) -> None:
        steps = self.store.metrics(self.job_id)["step"]
        assert steps == list(range(1, len(steps) + 1))
        assert len(steps) >= self.saved
        assert job.skipped_steps == sum(not fault.applied for fault in self.store.faults(self.job_id))


def test_the_life_of_a_job(engine: sa.Engine):
    machine = type("LifecycleHere", (Lifecycle,), {"engine": engine})
    quick = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=quick)
    assert issubclass(machine, Lifecycle)
