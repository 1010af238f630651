"""What the holder of a claim writes: progress, metrics, events, checkpoints, ends."""

from dataclasses import replace

import pytest

from tests.worker.clocks import ManualClock
from tests.worker.fakes import SPEC
from worker.jobs.records import (
    Artifact,
    Claim,
    Directive,
    Flush,
    JobError,
    NewCheckpoint,
    NewEvent,
    place_of_epoch,
    place_of_step,
)
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore

LEASE = 10.0


def file(name: str) -> Artifact:
    return Artifact(name, "a" * 64, 10, f"job/{name}")


def flush(first: int, last: int, saved: bool = False, score: float | None = None) -> Flush:
    rows = tuple(
        {"step": step, "loss": 1 / step, "loss_scale": 8.0, "applied": float(step % 3 != 0)}
        for step in range(first, last + 1)
    )
    events = tuple(NewEvent("job.metrics", f"Step {s}.", {"step": s}, place=place_of_step(s)) for s in (last,))
    checkpoint = NewCheckpoint(last, 0, file(f"checkpoints/{last}"), {"loss": 1.0}, score) if saved else None
    return Flush(last, 0, 0.5, rows, {"loss": 1 / last}, 8.0, events, checkpoint)


@pytest.fixture
def claim(store: JobStore) -> Claim:
    return claimed(store, store.create(SPEC, total_steps=12, epochs=3).id)


def claimed(store: JobStore, job_id: str) -> Claim:
    claim = store.claim(job_id, "me", LEASE)
    assert claim is not None
    return claim


def lose(store: JobStore, claim: Claim, max_lost: int = 9) -> JobStatus | None:
    lease = next(lease for lease in store.leases() if lease.job_id == claim.job_id)
    return store.take_back(lease, "lease_expired", max_lost)


def steps(store: JobStore, job_id: str) -> list[int]:
    return store.metrics(job_id)["step"]


def types(store: JobStore, job_id: str) -> list[str]:
    return [event.type for event in store.events(job_id)]


def test_a_claim_starts_the_job(store: JobStore, clock: ManualClock, claim: Claim):
    job = store.get(claim.job_id)
    assert (job.status, job.attempt, job.started_at) == (JobStatus.RUNNING, 1, clock.now)
    assert (claim.attempt, claim.checkpoints, claim.total_steps) == (1, (), 12)
    event = store.events(claim.job_id)[-1]
    assert (event.type, event.data) == ("job.running", {"attempt": 1, "resumed_from_step": 0})
    assert store.undelivered() == ()
    assert store.directive(claim) is Directive.CONTINUE


def test_a_write_is_seen_whole(store: JobStore, claim: Claim):
    store.record(claim, flush(1, 4))
    job = store.get(claim.job_id)
    assert (job.progress.step, job.metrics, job.loss_scale, job.skipped_steps) == (4, {"loss": 0.25}, 8.0, 1)
    assert steps(store, claim.job_id) == [1, 2, 3, 4]
    assert [fault.step for fault in store.faults(claim.job_id)] == [3]
    assert store.events(claim.job_id)[-1].data == {"step": 4}


def test_a_write_repeated_changes_nothing_but_the_time(store: JobStore, claim: Claim):
    store.record(claim, flush(1, 4, saved=True))
    before = store.events(claim.job_id)
    store.record(claim, flush(1, 4, saved=True))
    assert steps(store, claim.job_id) == [1, 2, 3, 4]
    assert store.events(claim.job_id) == before
    assert [saved.step for saved in store.checkpoints(claim.job_id)] == [4]


def test_a_resumed_slice_forgets_what_comes_after_its_checkpoint(store: JobStore, claim: Claim):
    store.record(claim, flush(1, 2, saved=True))
    store.record(claim, flush(3, 7))
    assert lose(store, claim) is JobStatus.QUEUED
    assert steps(store, claim.job_id) == [1, 2, 3, 4, 5, 6, 7]
    second = claimed(store, claim.job_id)
    assert [saved.step for saved in second.checkpoints] == [2]
    assert steps(store, claim.job_id) == [1, 2]
    job = store.get(claim.job_id)
    assert (job.progress.step, job.skipped_steps) == (2, 0)
    assert store.events(claim.job_id)[-1].data == {"attempt": 2, "resumed_from_step": 2}


def test_steps_done_again_are_told_once(store: JobStore, claim: Claim):
    store.record(claim, replace(flush(1, 4), events=(*flush(1, 4).events, *_epoch_end(4))))
    lose(store, claim)
    second = claimed(store, claim.job_id)
    before = store.events(claim.job_id)
    store.record(second, flush(1, 3))
    store.record(second, replace(flush(4, 4), events=(*flush(4, 4).events, *_epoch_end(4))))
    assert store.events(claim.job_id) == before
    store.record(second, flush(5, 5))
    assert store.events(claim.job_id)[-1].data == {"step": 5}


def test_the_end_of_an_epoch_is_told_after_its_last_step(store: JobStore, claim: Claim):
    store.record(claim, flush(1, 4))
    store.record(claim, Flush(4, 1, events=_epoch_end(4)))
    assert types(store, claim.job_id)[-2:] == ["job.metrics", "job.epoch"]


def _epoch_end(step: int) -> tuple[NewEvent, ...]:
    return (NewEvent("job.epoch", "An epoch.", place=place_of_epoch(step)),)


def test_the_newest_checkpoints_and_the_best_are_kept(store: JobStore, claim: Claim):
    dropped = []
    for step, score in ((1, 0.5), (2, 0.1), (3, 0.4), (4, None), (5, float("nan"))):
        dropped += store.record(claim, flush(step, step, saved=True, score=score), keep=2)
    assert [saved.step for saved in store.checkpoints(claim.job_id)] == [5, 4, 2]
    assert [saved.step for saved in dropped] == [1, 3]


def test_going_back_behind_an_unreadable_checkpoint(store: JobStore, claim: Claim):
    store.record(claim, flush(1, 2, saved=True))
    store.record(claim, flush(3, 5, saved=True))
    older = store.checkpoints(claim.job_id)[1]
    store.rewind(claim, older)
    assert [saved.step for saved in store.checkpoints(claim.job_id)] == [2]
    assert steps(store, claim.job_id) == [1, 2]
    store.rewind(claim, None)
    assert store.checkpoints(claim.job_id) == ()
    assert steps(store, claim.job_id) == []
    assert types(store, claim.job_id)[-1] == "job.checkpoint_unreadable"


def test_slices_hand_over_without_a_transition(store: JobStore, claim: Claim):
    assert store.release(claim) is JobStatus.QUEUED
    assert [(wakeup.job_id, wakeup.attempt) for wakeup in store.undelivered()] == [(claim.job_id, 1)]
    second = claimed(store, claim.job_id)
    assert second.attempt == 2
    assert [step.after.value for step in store.get(claim.job_id).transitions] == ["queued", "running"]


def test_success(store: JobStore, clock: ManualClock, claim: Claim):
    store.record(claim, flush(1, 12, saved=True))
    assert store.succeed(claim, [file("model.safetensors"), file("report.json")]) is JobStatus.SUCCEEDED
    job = store.get(claim.job_id)
    assert (job.status, job.finished_at, job.progress.percent) == (JobStatus.SUCCEEDED, clock.now, 100.0)
    assert job.result is not None
    assert job.result.checkpoint == store.checkpoints(claim.job_id)[0].id
    assert [made.name for made in job.result.artifacts] == ["model.safetensors", "report.json"]
    assert store.artifacts(claim.job_id) == job.result.artifacts
    assert types(store, claim.job_id)[-1] == "job.succeeded"
    assert store.leases() == ()


def test_failure(store: JobStore, claim: Claim):
    error = JobError("nonfinite_loss", "The loss is nan.", step=3, layer="d1")
    assert store.fail(claim, error) is JobStatus.FAILED
    job = store.get(claim.job_id)
    assert (job.error, job.status_reason, job.result) == (error, "nonfinite_loss", None)
    last = store.events(claim.job_id)[-1]
    assert (last.type, last.level, last.data["step"]) == ("job.failed", "error", 3)


@pytest.mark.parametrize("end", ["succeed", "fail", "release"])
def test_who_was_told_cancelling_finds_cancelled(store: JobStore, claim: Claim, end: str):
    store.request_cancel(claim.job_id)
    assert store.renew(claim, LEASE) is Directive.CANCEL
    ends = {
        "succeed": lambda: store.succeed(claim, []),
        "fail": lambda: store.fail(claim, JobError("internal", "no")),
        "release": lambda: store.release(claim),
    }
    assert ends[end]() is JobStatus.CANCELLED
    assert store.get(claim.job_id).error is None


def test_a_job_being_paused_may_still_finish(store: JobStore, claim: Claim):
    store.request_pause(claim.job_id)
    assert store.directive(claim) is Directive.PAUSE
    assert store.succeed(claim, []) is JobStatus.SUCCEEDED
