"""A slice, driven with a small trainer: whatever interrupts it, the job ends with the same bytes."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engine.errors import DataInvalid
from engine.training import TrainingFailed
from tests.waiting import until
from tests.worker.fakes import EPOCHS, SPEC, STEPS_PER_EPOCH, TOTAL, FakeTrainer
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.records import Directive, Job
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.runner import RunnerDeps, SliceOutcome, run_slice
from worker.settings import WorkerSettings
from worker.specs.errors import FieldError, SpecError

SLOW = 60.0


@pytest.fixture
def trainer() -> FakeTrainer:
    return FakeTrainer()


@pytest.fixture
def deps(store: JobStore, artifacts: ArtifactStore, settings: WorkerSettings, trainer: FakeTrainer) -> RunnerDeps:
    return RunnerDeps(store, artifacts, lambda spec: trainer, settings, "me")


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(SPEC, total_steps=TOTAL, epochs=EPOCHS)


def timed(deps: RunnerDeps, **seconds: float) -> RunnerDeps:
    return replace(deps, settings=deps.settings.model_copy(update=seconds))


def to_the_end(job_id: str, deps: RunnerDeps) -> list[SliceOutcome]:
    outcomes = [run_slice(job_id, deps)]
    while outcomes[-1] is SliceOutcome.QUEUED:
        outcomes.append(run_slice(job_id, deps))
    return outcomes


def digests(store: JobStore, job_id: str) -> dict[str, str]:
    return {made.name: made.sha256 for made in store.artifacts(job_id)}


def types(store: JobStore, job_id: str) -> list[str]:
    return [event.type for event in store.events(job_id)]


def test_a_job_in_one_slice(
    store: JobStore, artifacts: ArtifactStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer
):
    assert run_slice(job.id, deps) is SliceOutcome.SUCCEEDED
    done = store.get(job.id)
    assert done.status is JobStatus.SUCCEEDED
    assert (done.progress.step, done.progress.epoch, done.skipped_steps, done.attempt) == (TOTAL, EPOCHS, 4, 1)
    assert done.loss_scale == 65536 / 2**4
    assert trainer.done == list(range(1, TOTAL + 1))
    assert store.metrics(job.id)["step"] == trainer.done
    assert set(digests(store, job.id)) == {"model.safetensors", "model.keras", "history.json", "report.json"}
    assert done.result is not None
    assert done.result.checkpoint == store.checkpoints(job.id)[0].id
    assert len(artifacts.names(job.id, "checkpoints")) == len(store.checkpoints(job.id))


def test_the_report_tells_every_skipped_step(artifacts: ArtifactStore, deps: RunnerDeps, job: Job):
    run_slice(job.id, deps)
    with artifacts.open(job.id, "report.json") as file:
        report = json.load(file)
    assert report["schema"] == "halfstep.report/1"
    assert report["steps"] == {"total": 12, "applied": 8, "skipped": 4}
    assert report["ledger"][1] == {
        "step": 6,
        "applied": False,
        "reason": "nonfinite_gradient",
        "loss_scale_before": 32768.0,
        "loss_scale_after": 16384.0,
        "first_bad": None,
        "float32_too": None,
        "any_scale_helps": None,
    }


def test_the_history_has_a_value_for_each_epoch(artifacts: ArtifactStore, deps: RunnerDeps, job: Job):
    run_slice(job.id, deps)
    with artifacts.open(job.id, "history.json") as file:
        history = json.load(file)
    assert history["epoch"] == [1, 2, 3]
    assert {name: len(values) for name, values in history["history"].items()} == {"loss": 3, "val_loss": 3}


def test_events_tell_the_run_in_order(store: JobStore, deps: RunnerDeps, job: Job):
    run_slice(job.id, timed(deps, flush_seconds=0.0, checkpoint_seconds=SLOW))
    told = [event for event in store.events(job.id) if event.type in {"job.metrics", "job.skipped_step", "job.epoch"}]
    places = [(event.data.get("step"), event.type == "job.epoch") for event in told]
    assert places == sorted(places)
    assert [event.data["step"] for event in told if event.type == "job.skipped_step"] == [3, 6, 9, 12]
    assert [event.data["epoch"] for event in told if event.type == "job.epoch"] == [1, 2, 3]
    assert types(store, job.id)[-2:] == ["job.checkpoint", "job.succeeded"]


@pytest.mark.parametrize("slice_seconds", [0.0, 1e-4, SLOW])
def test_however_it_is_sliced_the_files_are_the_same(store: JobStore, deps: RunnerDeps, job: Job, slice_seconds: float):
    reference = store.create(SPEC, total_steps=TOTAL, epochs=EPOCHS)
    run_slice(reference.id, deps)
    to_the_end(job.id, timed(deps, slice_seconds=slice_seconds))
    assert digests(store, job.id) == digests(store, reference.id)
    assert store.metrics(job.id) == store.metrics(reference.id)
    assert store.get(job.id).skipped_steps == 4


def test_slices_of_no_length_do_a_step_each(store: JobStore, deps: RunnerDeps, job: Job):
    outcomes = to_the_end(job.id, timed(deps, slice_seconds=0.0))
    assert len(outcomes) == TOTAL + EPOCHS
    assert store.get(job.id).attempt == TOTAL + EPOCHS


@hypothesis_settings(
    max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(dies=st.lists(st.integers(1, TOTAL), max_size=3), save=st.booleans())
def test_whenever_it_dies_the_files_are_the_same(
    store: JobStore, deps: RunnerDeps, trainer: FakeTrainer, dies: list[int], save: bool
):
    """A worker that dies says nothing: no release, no failure. The reaper takes the job back."""
    patient = timed(deps, checkpoint_seconds=0.0 if save else SLOW, flush_seconds=0.0)
    trainer.before_step = lambda step: None
    reference = store.create(SPEC, total_steps=TOTAL, epochs=EPOCHS).id
    run_slice(reference, patient)
    job_id = store.create(SPEC, total_steps=TOTAL, epochs=EPOCHS).id
    for step in dies:
        trainer.before_step = _dying_at(step)
        with pytest.raises(Killed):
            run_slice(job_id, patient)
        (lease,) = store.leases()
        store.take_back(lease, "worker_died", 9)
        trainer.before_step = lambda step: None
        if save and step == TOTAL:
            break
    assert to_the_end(job_id, patient)[-1] is SliceOutcome.SUCCEEDED
    assert digests(store, job_id) == digests(store, reference)
    assert store.metrics(job_id) == store.metrics(reference)
    assert _told(store, job_id) == _told(store, reference)


class Killed(BaseException):
    """No code of a slice sees its own kill -9."""


def _dying_at(step: int) -> Callable[[int], None]:
    def die(now: int) -> None:
        if now >= step:
            raise Killed

    return die


def _told(store: JobStore, job_id: str) -> list[tuple[str, int]]:
    events = store.events(job_id)
    return [(event.type, event.data["step"]) for event in events if event.type in {"job.skipped_step", "job.epoch"}]


def test_a_job_that_is_taken_is_left_alone(store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer):
    store.claim(job.id, "other", 10)
    assert run_slice(job.id, deps) is SliceOutcome.NOT_CLAIMED
    assert trainer.done == []


def test_a_doubled_message_does_nothing(store: JobStore, deps: RunnerDeps, job: Job):
    run_slice(job.id, deps)
    before = (store.get(job.id), store.events(job.id))
    assert run_slice(job.id, deps) is SliceOutcome.NOT_CLAIMED
    assert (store.get(job.id), store.events(job.id)) == before


class Gate:
    """Stops the trainer before a step until the test lets it go on."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.reached, self.open = Event(), Event()

    def __call__(self, step: int) -> None:
        if step == self.step:
            self.reached.set()
            assert self.open.wait(20)


def in_background(job_id: str, deps: RunnerDeps, gate: Gate) -> tuple[Thread, list[SliceOutcome]]:
    outcomes: list[SliceOutcome] = []
    thread = Thread(target=lambda: outcomes.append(run_slice(job_id, deps)))
    thread.start()
    assert gate.reached.wait(20)
    return thread, outcomes


@pytest.mark.parametrize(
    ("ask", "ends"), [("request_cancel", SliceOutcome.CANCELLED), ("request_pause", SliceOutcome.PAUSED)]
)
def test_a_wish_is_acted_on_within_one_step(
    store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer, ask: str, ends: SliceOutcome
):
    trainer.before_step = gate = Gate(3)
    heard = Event()
    noticing = replace(deps, store=NoticingStore(store, heard))
    thread, outcomes = in_background(job.id, noticing, gate)
    getattr(store, ask)(job.id)
    assert heard.wait(20)
    gate.open.set()
    thread.join()
    assert outcomes == [ends]
    assert trainer.done == [1, 2, 3]
    assert store.metrics(job.id)["step"] == [1, 2, 3]
    assert store.get(job.id).status.value == ends.value


class NoticingStore:
    """The store, except that it tells when a wish was asked for twice: by then the first answer was acted on."""

    def __init__(self, store: JobStore, heard: Event) -> None:
        self._store = store
        self._heard = heard
        self._answers = 0

    def directive(self, claim):
        answer = self._store.directive(claim)
        self._answers += answer is not Directive.CONTINUE
        if self._answers > 1:
            self._heard.set()
        return answer

    def __getattr__(self, name: str):
        return getattr(self._store, name)


def test_a_paused_job_goes_on_where_it_was(store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer):
    trainer.before_step = gate = Gate(6)
    heard = Event()
    thread, _ = in_background(job.id, replace(deps, store=NoticingStore(store, heard)), gate)
    store.request_pause(job.id)
    assert heard.wait(20)
    gate.open.set()
    thread.join()
    trainer.before_step = lambda step: None
    store.request_resume(job.id)
    trainer.done.clear()
    assert to_the_end(job.id, deps)[-1] is SliceOutcome.SUCCEEDED
    assert trainer.done == list(range(7, TOTAL + 1))


def test_a_worker_that_stops_saves_and_hands_back(store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer):
    stopping = replace(deps, stopping=lambda: len(trainer.done) >= 5)
    assert run_slice(job.id, stopping) is SliceOutcome.QUEUED
    assert store.checkpoints(job.id)[0].step == 5
    assert [wakeup.attempt for wakeup in store.undelivered()] == [1]


def test_a_slice_that_lost_its_job_stops_and_writes_nothing(
    store: JobStore,
    artifacts: ArtifactStore,
    deps: RunnerDeps,
    job: Job,
    trainer: FakeTrainer,
    caplog: pytest.LogCaptureFixture,
):
    trainer.before_step = gate = Gate(5)
    thread, outcomes = in_background(job.id, timed(deps, flush_seconds=SLOW), gate)
    (lease,) = store.leases()
    store.take_back(lease, "lease_expired", 9)
    other = store.claim(job.id, "other", 10)
    before = (store.get(job.id), store.events(job.id), store.metrics(job.id))
    until(lambda: "no longer holds" in caplog.text, what="the heartbeat to notice")
    gate.open.set()
    thread.join()
    assert outcomes == [SliceOutcome.LOST]
    assert trainer.done == [1, 2, 3, 4, 5]
    assert (store.get(job.id), store.events(job.id), store.metrics(job.id)) == before
    assert other is not None
    assert artifacts.names(job.id, "checkpoints") == ()


def test_a_lease_that_nobody_can_renew_counts_as_lost(
    store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer
):
    broken = BrokenStore(store)
    trainer.before_step = lambda step: broken.fail_from_now() if step == 2 else None
    impatient = timed(replace(deps, store=broken), lease_seconds=0.2, heartbeat_seconds=0.01, flush_seconds=0.0)
    assert run_slice(job.id, impatient) is SliceOutcome.LOST
    assert store.get(job.id).status is JobStatus.RUNNING


def test_a_database_that_comes_back_in_time_costs_nothing(
    store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer
):
    broken = BrokenStore(store, recover_after=2)
    trainer.before_step = lambda step: broken.fail_from_now() if step == 2 else None
    assert run_slice(job.id, timed(replace(deps, store=broken), flush_seconds=0.0)) is SliceOutcome.SUCCEEDED
    assert store.metrics(job.id)["step"] == list(range(1, TOTAL + 1))


class BrokenStore:
    """The store behind a database that stops answering, for good or for a few writes."""

    WRITES = frozenset({"record", "renew", "directive", "release", "succeed", "fail"})

    def __init__(self, store: JobStore, recover_after: int = 10**9) -> None:
        self._store = store
        self._failures = 0
        self._recover_after = recover_after

    def fail_from_now(self) -> None:
        self._failures = self._recover_after

    def __getattr__(self, name: str):
        if name in self.WRITES and self._failures > 0:
            self._failures -= name == "record"
            return self._refuse
        return getattr(self._store, name)

    def _refuse(self, *_: object) -> None:
        raise sa.exc.OperationalError("UPDATE", {}, Exception("the database is gone"))


def raising(error: Exception) -> Callable[[int], None]:
    def fail(step: int) -> None:
        if step == 5:
            raise error

    return fail


FORESEEN = {
    "nonfinite_loss": TrainingFailed("The loss is nan.", code="nonfinite_loss", step=5, layer="d1"),
    "resource_limit": MemoryError("Unable to allocate 8 TiB"),
    "data_invalid": DataInvalid("Labels out of range.", path=("data", "y")),
}


@pytest.mark.parametrize("code", FORESEEN)
def test_errors_of_the_job_are_told_in_its_own_terms(
    store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer, code: str
):
    trainer.before_step = raising(FORESEEN[code])
    assert run_slice(job.id, timed(deps, flush_seconds=SLOW)) is SliceOutcome.FAILED
    error = store.get(job.id).error
    assert error is not None
    assert error.code == code
    assert store.metrics(job.id)["step"] == [1, 2, 3, 4]


def test_a_training_that_failed_says_where(store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer):
    trainer.before_step = raising(FORESEEN["nonfinite_loss"])
    run_slice(job.id, deps)
    error = store.get(job.id).error
    assert error is not None
    assert (error.message, error.step, error.layer) == ("The loss is nan.", 5, "d1")


def test_a_spec_that_no_longer_passes_fails_with_its_pointer(store: JobStore, deps: RunnerDeps, job: Job):
    def refuse(spec):
        raise SpecError([FieldError("unknown_layer", "ValueError", "Unknown layer: Foo.", "/model/config/layers/0")])

    assert run_slice(job.id, replace(deps, prepare=refuse)) is SliceOutcome.FAILED
    error = store.get(job.id).error
    assert error is not None
    assert (error.code, error.param) == ("data_invalid", "/model/config/layers/0")


def test_what_nobody_foresaw_is_told_by_reference_only(
    store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer
):
    trainer.before_step = raising(RuntimeError("secret of the worker"))
    with pytest.raises(RuntimeError, match="secret") as caught:
        run_slice(job.id, deps)
    error = store.get(job.id).error
    assert error is not None
    assert error.code == "internal"
    assert "secret" not in error.message
    (note,) = caught.value.__notes__
    assert note.removeprefix("reference ") in error.message


def test_a_damaged_checkpoint_is_passed_over(
    store: JobStore, artifacts: ArtifactStore, deps: RunnerDeps, job: Job, caplog: pytest.LogCaptureFixture
):
    short = timed(deps, slice_seconds=0.0)
    for _ in range(4):
        run_slice(job.id, short)
    newest, older = store.checkpoints(job.id)[:2]
    artifacts.put(job.id, newest.path.removeprefix(f"{job.id}/"), b"damaged")
    with caplog.at_level(logging.WARNING):
        assert to_the_end(job.id, deps)[-1] is SliceOutcome.SUCCEEDED
    assert newest.id in caplog.text
    assert "job.checkpoint_unreadable" in types(store, job.id)
    assert older.step < newest.step
    reference = store.create(SPEC, total_steps=TOTAL, epochs=EPOCHS)
    run_slice(reference.id, deps)
    assert digests(store, job.id) == digests(store, reference.id)


def test_with_no_readable_checkpoint_it_starts_anew(
    store: JobStore, artifacts: ArtifactStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer
):
    run_slice(job.id, replace(deps, stopping=lambda: len(trainer.done) == STEPS_PER_EPOCH))
    artifacts.delete(job.id)
    trainer.done.clear()
    assert run_slice(job.id, deps) is SliceOutcome.SUCCEEDED
    assert trainer.done == list(range(1, TOTAL + 1))


def test_files_that_no_row_points_at_are_swept(store: JobStore, artifacts: ArtifactStore, deps: RunnerDeps, job: Job):
    artifacts.put(job.id, "checkpoints/000000-000000001-{sha256}.safetensors", b"written, never recorded")
    later = artifacts.put(job.id, "checkpoints/000099-000000001-{sha256}.safetensors", b"of a later attempt")
    run_slice(job.id, deps)
    kept = set(artifacts.names(job.id, "checkpoints"))
    assert kept == {later.name, *(saved.path.removeprefix(f"{job.id}/") for saved in store.checkpoints(job.id))}


def test_the_heartbeat_keeps_the_lease(store: JobStore, deps: RunnerDeps, job: Job, trainer: FakeTrainer, clock):
    trainer.before_step = gate = Gate(2)
    thread, outcomes = in_background(job.id, timed(deps, heartbeat_seconds=0.01), gate)
    clock.move(5)
    until(lambda: store.leases()[0].until == clock.now + deps.settings.lease_seconds, what="the lease to be renewed")
    gate.open.set()
    thread.join()
    assert outcomes == [SliceOutcome.SUCCEEDED]
