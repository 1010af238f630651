"""One slice of a job: from the spec and the last checkpoint, through the engine, to records. Knows no queue."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from engine import allocation
from engine.starting import begun_with
from engine.state import TrainState
from engine.tape import Array, Pulse, unhurried
from engine.training import EpochRecord, StepRecord, TrainingFailed
from worker import outcomes, results
from worker.failures import WorkerTrouble, explain, foreseen
from worker.heartbeat import Heartbeat
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.errors import JobNotFound, LeaseLost
from worker.jobs.figures import SliceFigures
from worker.jobs.logs import belonging
from worker.jobs.records import Claim, Directive, Flush, JobWarning, NewCheckpoint, NewEvent, StepFault
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.journal import Journal
from worker.keeping import Keeper
from worker.saving import Saver
from worker.settings import WorkerSettings

logger = logging.getLogger(__name__)

CHECKPOINT_SHARE = 0.05
"""Saving may take this share of the time: a checkpoint that takes long is written less often."""


class Trainer(results.Trained, Protocol):
    """What a slice needs of `engine.training.Trainer`."""

    def initial_state(self, variables: Mapping[str, Array] | None = None) -> TrainState:
        """The state before the first step, with fresh values or these."""

    def finished(self, state: TrainState) -> bool:
        """Whether there is nothing left to do."""

    def advance(self, state: TrainState, pulse: Pulse = unhurried) -> tuple[TrainState, StepRecord | EpochRecord]:
        """One step, or the end of an epoch; consumes the state, unless `pulse` raises on the way."""


class Halted(Exception):
    """A step or a validation was left, because the slice has to end; the state is the one before it."""


MOST_RACES = 20
"""Jobs that others may snatch away before a message counts as answered; each of those has a worker now."""

Prepare = Callable[[Mapping[str, Any]], Trainer]
"""Checks a JobSpec (as JSON) and makes its trainer; raises SpecError, EngineError, MemoryError."""


def _never() -> bool:
    return False


def _nobody_asks(_figures: SliceFigures) -> None:
    return


@dataclass(frozen=True)
class RunnerDeps:
    """What a slice works with.

    Attributes:
        store: the book of jobs.
        artifacts: files.
        prepare: from a spec to a trainer.
        settings: how slices are timed.
        owner: the name of this process, for the lease.
        stopping: whether the worker was asked to end; the slice then saves and gives the job back at once.
        monotonic: a clock for durations.
        tell: is told each slice in numbers.
    """

    store: JobStore
    artifacts: ArtifactStore
    prepare: Prepare
    settings: WorkerSettings
    owner: str
    stopping: Callable[[], bool] = _never
    monotonic: Callable[[], float] = time.monotonic
    tell: Callable[[SliceFigures], None] = _nobody_asks


class SliceOutcome(StrEnum):
    """How a slice ended."""

    NOT_CLAIMED = "not_claimed"
    """The job was not there to be taken: a doubled message, or somebody was faster."""
    LOST = "lost"
    """The job was taken from the slice, or nobody could renew its lease. Nothing more was written."""
    QUEUED = "queued"
    """Training goes on in another slice; its wake-up is in the outbox."""
    DELAYED = "delayed"
    """The same, but something around the job is out of order: the reaper rings, after a moment, and not we at once."""
    PAUSED = "paused"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


def run_slice(job_id: str, deps: RunnerDeps) -> SliceOutcome:
    """Claim the job and train it until the slice's time is over, the job ends, or the user or the worker says stop.

    Errors of the job end it as failed. What nobody foresaw does so too and is raised again, for the worker's log.
    If disk or network are out of order, the job is given back, and paused when that goes on.
    """
    claim = deps.store.claim(job_id, deps.owner, deps.settings.lease_seconds)
    if claim is None:
        return SliceOutcome.NOT_CLAIMED
    begun, outcome = deps.monotonic(), SliceOutcome.FAILED
    with belonging(job_id=job_id), Heartbeat(deps.store, claim, deps.settings, deps.stopping) as heartbeat:
        running = _Slice(deps, claim, heartbeat)
        try:
            outcome = running.run()
        except (LeaseLost, JobNotFound) as lost:
            outcome = SliceOutcome.CANCELLED if heartbeat.cancelled else SliceOutcome.LOST
            logger.warning("slice ended without a word, %s: %s", outcome, lost)
        except Exception as error:
            outcome = running.fail(error)
            if not foreseen(error):
                raise
        finally:
            deps.tell(running.figures(outcome, deps.monotonic() - begun))
    return outcome


def run_next(deps: RunnerDeps) -> tuple[str, SliceOutcome]:
    """Run a slice of the job whose turn it is: a message only says that some job waits, the queue's order is the row's.

    Returns the job's id (empty if none waits), and how its slice ended.
    """
    for _ in range(MOST_RACES):
        job_id = deps.store.next_in_line()
        if job_id is None:
            break
        outcome = run_slice(job_id, deps)
        if outcome is not SliceOutcome.NOT_CLAIMED:
            return job_id, outcome
    return "", SliceOutcome.NOT_CLAIMED


def _outcome(status: JobStatus) -> SliceOutcome:
    return SliceOutcome(status.value)


class _Slice:
    """The run of one claim."""

    def __init__(self, deps: RunnerDeps, claim: Claim, heartbeat: Heartbeat) -> None:
        self._deps = deps
        self._claim = claim
        self._heartbeat = heartbeat
        self._saver = Saver(deps.artifacts, claim)
        self._keeper = Keeper(deps.artifacts, claim)
        self._journal = Journal()
        self._at: TrainState | None = None
        self._steps = self._skipped = 0
        self._training_seconds = 0.0
        self._written_at = deps.monotonic()

    def run(self) -> SliceOutcome:
        spec = self._heartbeat.insist(lambda: self._deps.store.spec(self._claim.job_id))
        trainer = self._deps.prepare(spec)
        state = self._resume(trainer)
        self._saver.sweep()
        begun = self._deps.monotonic()
        try:
            with allocation.kept():
                state = self._train(trainer, state)
        finally:
            self._training_seconds += self._deps.monotonic() - begun
        wanted = self._heartbeat.directive()
        if trainer.finished(state) and wanted is not Directive.CANCEL:
            return self._succeed(trainer, state, spec)
        # A cancelled job needs no state to go on from, and its user waits.
        self._write(state, None if wanted is Directive.CANCEL else self._saver.save(state))
        cut_off = self._deps.stopping()
        return _outcome(self._heartbeat.insist(lambda: self._deps.store.release(self._claim, cut_off=cut_off)))

    def figures(self, outcome: SliceOutcome, seconds: float) -> SliceFigures:
        """The slice in numbers, now that it has ended."""
        return SliceFigures(outcome.value, seconds, self._training_seconds, self._steps, self._skipped)

    def fail(self, error: Exception) -> SliceOutcome:
        """End the job because of an error, after telling the steps before it."""
        try:
            told = explain(error)
        except WorkerTrouble as trouble:
            return self._give_back(trouble)
        try:
            if foreseen(error) and self._at is not None:
                self._write(self._at, None)
            return _outcome(self._heartbeat.insist(lambda: self._deps.store.fail(self._claim, told)))
        except LeaseLost:
            return SliceOutcome.LOST

    def _give_back(self, error: WorkerTrouble) -> SliceOutcome:
        logger.warning("job %s is given back: %s", self._claim.job_id, error)
        most = self._deps.settings.max_lost_leases
        give_back = self._deps.store.give_back
        try:
            status = self._heartbeat.insist(lambda: give_back(self._claim, error.trouble, most))
        except LeaseLost:
            return SliceOutcome.LOST
        return SliceOutcome.DELAYED if status is JobStatus.QUEUED else _outcome(status)

    def _resume(self, trainer: Trainer) -> TrainState:
        found = self._saver.newest()
        saved = found[1] if found else None
        if saved is not (self._claim.checkpoints[0] if self._claim.checkpoints else None):
            self._heartbeat.insist(lambda: self._deps.store.rewind(self._claim, saved))
        self._written_at = self._deps.monotonic()
        return found[0] if found else self._begin(trainer)

    def _begin(self, trainer: Trainer) -> TrainState:
        """The state before the first step: fresh, or what another job's checkpoint makes of it."""
        saved, start = self._saver.start(), self._claim.start
        if saved is None or start is None:
            return trainer.initial_state()
        return begun_with(trainer.initial_state, saved, trainer.network.weight_specs, optimizer=start.optimizer)

    def _train(self, trainer: Trainer, state: TrainState) -> TrainState:
        """Advance until something says stop; at least once, so that slices of no length get on too."""
        now = self._deps.monotonic
        ends = now() + self._deps.settings.slice_seconds
        save_at = now() + self._deps.settings.checkpoint_seconds
        flush_at = now()
        while not trainer.finished(state):
            try:
                state = self._advance(trainer, state)
            except Halted:
                break
            if self._heartbeat.directive() is not Directive.CONTINUE or now() >= ends or self._deps.stopping():
                break
            if now() >= save_at:
                begun = now()
                self._write(state, self._saver.save(state))
                took = now() - begun
                self._training_seconds -= took
                save_at = now() + max(self._deps.settings.checkpoint_seconds, took / CHECKPOINT_SHARE)
            elif now() >= flush_at:
                self._write(state, None)
            else:
                continue
            flush_at = now() + self._deps.settings.flush_seconds
        return state

    def _advance(self, trainer: Trainer, state: TrainState) -> TrainState:
        """One step or the end of an epoch, noted; also of the step that ends the training."""
        try:
            state, record = trainer.advance(state, self._heed)
        except TrainingFailed as failed:
            if failed.done is not None:
                self._note(*failed.done)
            raise
        for saving in record.saved:
            self._keeper.save(trainer, saving)
        self._note(state, record)
        return state

    def _heed(self) -> None:
        if self._heartbeat.wanted():
            raise Halted

    def _note(self, state: TrainState, record: StepRecord | EpochRecord) -> None:
        self._journal.add(record)
        if isinstance(record, StepRecord):
            self._steps += 1
            self._skipped += not record.applied
        self._at = state

    def _write(self, state: TrainState, saved: NewCheckpoint | None) -> None:
        """Tell everything noted so far, and point the job at a new checkpoint if there is one."""
        now = self._deps.monotonic()
        flush = self._journal.flush(state.step, state.epoch, now - self._written_at)
        if saved is not None:
            flush = _with_checkpoint(flush, saved)
        keep = self._deps.settings.keep_checkpoints
        dropped = self._heartbeat.insist(lambda: self._deps.store.record(self._claim, flush, keep))
        self._journal.clear()
        self._written_at = now
        self._saver.drop(dropped)

    def _succeed(self, trainer: Trainer, state: TrainState, spec: Mapping[str, Any]) -> SliceOutcome:
        self._write(state, self._saver.save(state))
        job_id, artifacts = self._claim.job_id, self._deps.artifacts
        faults = self._heartbeat.insist(lambda: self._deps.store.faults(job_id))
        outcomes.check_applied(state, faults)
        warnings = self._warnings(trainer, state, faults)
        made = (
            results.save_model(artifacts, job_id, results.model_arrays(trainer.network.weight_specs, state), spec),
            results.save_keras(artifacts, job_id, trainer, state),
            results.save_history(artifacts, job_id, state.history),
            results.save_report(artifacts, job_id, state, faults),
            *self._keeper.publish(),
        )
        status = self._heartbeat.insist(lambda: self._deps.store.succeed(self._claim, made, warnings))
        self._keeper.clear()
        return _outcome(status)

    def _warnings(self, trainer: Trainer, state: TrainState, faults: Sequence[StepFault]) -> tuple[JobWarning, ...]:
        """What is doubtful about the run, its weights held against those that it began with, which are made again."""
        job_id, store = self._claim.job_id, self._deps.store
        norms = self._heartbeat.insist(lambda: store.metrics(job_id, names=("grad_norm",))).get("grad_norm", ())
        had_gradients = any(norm is None or norm > 0 for norm in norms)
        specs, before = trainer.network.weight_specs, self._begin(trainer).variables
        return outcomes.warnings_of(specs, state, faults, before, had_gradients=had_gradients)


def _with_checkpoint(flush: Flush, saved: NewCheckpoint) -> Flush:
    data = {"step": saved.step, "epoch": saved.epoch, "sha256": saved.artifact.sha256, "size": saved.artifact.size}
    event = NewEvent("job.checkpoint", f"The state after step {saved.step} is saved.", data)
    return replace(flush, events=(*flush.events, event), checkpoint=saved)
