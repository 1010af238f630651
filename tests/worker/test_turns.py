"""How tenants share the workers: equally, whatever one of them queues, and a tenant's own order is his own matter."""

from collections import Counter

import pytest

from tests.worker.clocks import ManualClock
from tests.worker.fakes import SPEC
from worker.jobs.records import Claim, Flush
from worker.jobs.store import JobStore
from worker.jobs.turns import _shared


def queued(store: JobStore, priority: int = 0) -> str:
    return store.create({**SPEC, "priority": priority}, total_steps=12, epochs=3).id


def claimed(store: JobStore) -> Claim:
    job_id = store.next_in_line()
    assert job_id is not None
    claim = store.claim(job_id, "tests", 60.0)
    assert claim is not None
    return claim


def run(store: JobStore, clock: ManualClock, seconds: float) -> str:
    """One slice of whichever job is next; returns its id."""
    claim = claimed(store)
    clock.move(seconds)
    store.release(claim)
    return claim.job_id


def tenants_of(slices: list[str], anna: JobStore) -> str:
    mine = {job.id for job in anna.page(limit=100).data}
    return "".join("a" if job_id in mine else "b" for job_id in slices)


def test_whoever_comes_to_a_full_queue_begins_at_once_whatever_priorities_the_others_have(
    store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock
):
    for _ in range(20):
        queued(anna, priority=100)
    for _ in range(5):
        run(store, clock, 20.0)
    mine = queued(ben, priority=-100)
    assert ben.get(mine).queue_position == 1
    assert run(store, clock, 20.0) == mine


def test_shares_are_equal(store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock):
    for _ in range(12):
        queued(anna, priority=100)
    queued(ben)
    slices = tenants_of([run(store, clock, 20.0) for _ in range(100)], anna)
    assert Counter(slices) == {"a": 50, "b": 50}
    assert "aaa" not in slices


def test_slices_of_no_length_take_turns_too(store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock):
    queued(anna), queued(ben)
    assert tenants_of([run(store, clock, 0.0) for _ in range(6)], anna) == "ababab"


def test_time_is_shared_and_not_the_number_of_slices(
    store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock
):
    short, _ = queued(anna), queued(ben)
    seconds = {"a": 0.0, "b": 0.0}
    for _ in range(100):
        claim = claimed(store)
        length = 1.0 if claim.job_id == short else 5.0
        clock.move(length)
        store.release(claim)
        seconds["a" if claim.job_id == short else "b"] += length
    assert abs(seconds["a"] - seconds["b"]) <= 5.0


def test_who_was_idle_may_not_catch_up(store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock):
    queued(ben)
    run(store, clock, 20.0)
    ben.request_cancel(ben.page().data[0].id)
    queued(anna)
    for _ in range(50):
        run(store, clock, 20.0)
    queued(ben)
    assert Counter(tenants_of([run(store, clock, 20.0) for _ in range(10)], anna)) == {"a": 5, "b": 5}


def test_two_workers_begin_with_two_tenants(store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock):
    queued(anna), queued(anna), queued(ben)
    slices = [claimed(store), claimed(store)]
    assert tenants_of([claim.job_id for claim in slices], anna) == "ab"
    clock.move(20.0)
    store.release(slices[0])  # ben's slice runs on: his time counts while it does
    clock.move(1.0)
    assert tenants_of([claimed(store).job_id], anna) == "a"


def test_a_slice_whose_worker_was_lost_counts(store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock):
    queued(anna), queued(ben)
    lost = claimed(store)
    clock.move(10.0)
    (lease,) = store.leases()
    store.take_back(lease, "worker_died", 5)
    assert tenants_of([lost.job_id, run(store, clock, 10.0), run(store, clock, 10.0)], anna) == "aba"


def test_priorities_order_the_jobs_of_one_tenant(store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock):
    low, high, his = queued(anna), queued(anna, priority=5), queued(ben)
    assert [run(store, clock, 20.0) for _ in range(3)] == [high, his, high]
    assert anna.get(low).queue_position == 3


def test_places_are_those_in_which_slices_begin(store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock):
    for _ in range(4):
        queued(anna)
    for _ in range(2):
        queued(ben)
    run(store, clock, 20.0)
    both = [*anna.page(limit=100).data, *ben.page(limit=100).data]
    promised = {job.id: job.queue_position for job in both}
    assert sorted(filter(None, promised.values())) == [1, 2, 3, 4, 5, 6]
    assert {job.id: job.queue_position for job in store.page(limit=100).data} == promised
    begun = []
    for _ in range(6):  # each ends in its slice: whoever came back would stand behind
        claim = claimed(store)
        clock.move(20.0)
        store.succeed(claim, ())
        begun.append(claim.job_id)
    assert {job_id: place for place, job_id in enumerate(begun, 1)} == promised


def test_an_estimate_counts_with_those_who_share_the_worker(
    store: JobStore, anna: JobStore, ben: JobStore, clock: ManualClock
):
    first = queued(anna)
    claim = claimed(store)
    rows = tuple({"step": step, "applied": 1.0} for step in (1, 2, 3))
    store.record(claim, Flush(3, 0, seconds=6.0, rows=rows))
    own_pace = 9 * 2.0  # nine steps are left, of two seconds each
    assert anna.get(first).estimated_finish == clock.now + own_pace
    for _ in range(3):
        queued(anna), queued(ben)
    assert anna.get(first).estimated_finish == clock.now + own_pace * 2 * 4  # of two tenants, of four jobs


@pytest.mark.parametrize(
    ("slots", "wanted", "shares"),
    [
        (1.0, {"a": 5, "b": 1}, {"a": 0.5, "b": 0.5}),
        (4.0, {"a": 9, "b": 1}, {"a": 3.0, "b": 1.0}),
        (4.0, {"a": 1, "b": 1}, {"a": 1.0, "b": 1.0}),
        (3.0, {"a": 9, "b": 9, "c": 9}, {"a": 1.0, "b": 1.0, "c": 1.0}),
    ],
)
def test_what_one_tenant_leaves_the_others_share(slots, wanted, shares):
    assert _shared(slots, wanted) == shares
