"""A step that takes long is left when its user, or the end of its worker, asks for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event, Thread

import pytest

from engine.records import EpochRecord, StepRecord
from engine.state import TrainState
from engine.tape import Pulse, unhurried
from tests.waiting import PATIENCE, until
from tests.worker.fakes import EPOCHS, SPEC, TOTAL, FakeTrainer
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.records import Job
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.runner import RunnerDeps, SliceOutcome, run_slice
from worker.settings import WorkerSettings

LONG = 5
"""The step that takes long."""


@dataclass
class LongStep(FakeTrainer):
    """A trainer whose fifth step takes as long as nobody asks it to stop, between whose ops somebody may ask."""

    begun: Event = field(default_factory=Event)

    def advance(self, state: TrainState, pulse: Pulse = unhurried) -> tuple[TrainState, StepRecord | EpochRecord]:
        if state.step + 1 == LONG and not self.begun.is_set():
            self.begun.set()
            while True:
                pulse()
        return super().advance(state)


@dataclass
class LongOp(FakeTrainer):
    """A trainer whose fifth step is one op that nothing can interrupt."""

    begun: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)

    def advance(self, state: TrainState, pulse: Pulse = unhurried) -> tuple[TrainState, StepRecord | EpochRecord]:
        if state.step + 1 == LONG:
            self.begun.set()
            assert self.ended.wait(PATIENCE)
        return super().advance(state)


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(SPEC, total_steps=TOTAL, epochs=EPOCHS)


@pytest.fixture
def deps(store: JobStore, artifacts: ArtifactStore, settings: WorkerSettings) -> RunnerDeps:
    return RunnerDeps(store, artifacts, lambda spec: FakeTrainer(), settings, "me")


@contextmanager
def running(job: Job, deps: RunnerDeps) -> Iterator[Callable[[], SliceOutcome]]:
    """Run a slice in a thread; give what waits for its outcome."""
    outcomes: list[SliceOutcome] = []
    thread = Thread(target=lambda: outcomes.append(run_slice(job.id, deps)))
    thread.start()

    def outcome() -> SliceOutcome:
        thread.join(PATIENCE)
        return outcomes[0]

    yield outcome
    thread.join(PATIENCE)


def test_a_paused_job_is_saved_as_it_was_before_the_step_that_took_long(
    store: JobStore, deps: RunnerDeps, job: Job
) -> None:
    trainer = LongStep()
    with running(job, replace(deps, prepare=lambda spec: trainer)) as outcome:
        assert trainer.begun.wait(PATIENCE)
        store.request_pause(job.id)
        assert outcome() is SliceOutcome.PAUSED
    assert store.get(job.id).progress.step == LONG - 1
    store.request_resume(job.id)
    assert run_slice(job.id, deps) is SliceOutcome.SUCCEEDED
    other = store.create(SPEC, total_steps=TOTAL, epochs=EPOCHS)
    run_slice(other.id, deps)
    assert [a.sha256 for a in store.artifacts(job.id)] == [a.sha256 for a in store.artifacts(other.id)]


def test_a_worker_that_ends_leaves_the_step_and_gives_the_job_back(store: JobStore, deps: RunnerDeps, job: Job) -> None:
    trainer, stopping = LongStep(), Event()
    with running(job, replace(deps, prepare=lambda spec: trainer, stopping=stopping.is_set)) as outcome:
        assert trainer.begun.wait(PATIENCE)
        stopping.set()
        assert outcome() is SliceOutcome.QUEUED
    assert store.get(job.id).progress.step == LONG - 1


def test_a_job_is_cancelled_while_an_op_takes_long(store: JobStore, deps: RunnerDeps, job: Job) -> None:
    trainer = LongOp()
    with running(job, replace(deps, prepare=lambda spec: trainer)) as outcome:
        assert trainer.begun.wait(PATIENCE)
        assert store.request_cancel(job.id).status is JobStatus.CANCELLING
        until(lambda: store.get(job.id).status is JobStatus.CANCELLED)
        assert not trainer.ended.is_set()
        trainer.ended.set()
        assert outcome() is SliceOutcome.CANCELLED
    assert store.get(job.id).status is JobStatus.CANCELLED
