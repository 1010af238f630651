"""The order of the queue: by priority, and by time among equals; nobody waits forever."""

import pytest

from tests.worker.clocks import ManualClock
from tests.worker.fakes import SPEC, FakeTrainer
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.moves import HEAD_START_SECONDS
from worker.jobs.store import JobStore
from worker.runner import RunnerDeps, SliceOutcome, run_next
from worker.settings import WorkerSettings


def queued(store: JobStore, priority: int) -> str:
    return store.create({**SPEC, "priority": priority}, total_steps=12, epochs=3).id


def order(store: JobStore) -> list[str]:
    jobs = store.page(order="asc").data
    return [job.id for job in sorted(jobs, key=lambda job: job.queue_position or 0)]


def test_the_higher_priority_goes_first_and_equals_in_turn(store: JobStore, clock: ManualClock):
    low, first, second, high = (queued(store, level) for level in (-1, 0, 0, 3))
    assert order(store) == [high, first, second, low]
    assert store.next_in_line() == high
    assert store.get(high).priority == 3


def test_whoever_waits_long_enough_goes_before_a_higher_one(store: JobStore, clock: ManualClock):
    low = queued(store, 0)
    clock.move(2 * HEAD_START_SECONDS - 1)
    high = queued(store, 2)
    assert order(store) == [high, low]
    clock.move(2)
    later = queued(store, 2)
    assert order(store) == [high, low, later]


def test_a_job_that_gave_its_worker_back_waits_behind_whoever_is_older(store: JobStore, clock: ManualClock):
    mine, other = queued(store, 0), queued(store, 0)
    claim = store.claim(mine, "tests", 60.0)
    clock.move(20)
    store.release(claim)
    assert order(store) == [other, mine]


@pytest.mark.parametrize("lose", ["the worker died", "the worker stops"])
def test_a_job_whose_slice_was_cut_off_keeps_its_turn(store: JobStore, clock: ManualClock, lose: str):
    mine, other = queued(store, 0), queued(store, 0)
    claim = store.claim(mine, "tests", 60.0)
    clock.move(20)
    urgent = queued(store, 1)
    if lose == "the worker died":
        (lease,) = store.leases()
        store.take_back(lease, "worker_died", 5)
    else:
        store.release(claim, cut_off=True)
    assert order(store) == [urgent, mine, other]


def test_a_message_runs_the_job_whose_turn_it_is(store: JobStore, artifacts: ArtifactStore, settings: WorkerSettings):
    low, high = queued(store, 0), queued(store, 1)
    deps = RunnerDeps(store, artifacts, lambda _: FakeTrainer(), settings, owner="tests")
    assert [run_next(deps)[0] for _ in range(3)] == [high, low, ""]
    assert {store.get(job_id).status.value for job_id in (low, high)} == {SliceOutcome.SUCCEEDED.value}
