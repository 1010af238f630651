"""What users do with jobs: create, look, list, cancel, pause, resume, delete. On SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.worker.clocks import ManualClock
from tests.worker.fakes import SPEC
from worker.jobs.errors import IdempotencyMismatch, JobNotFound, TransitionRefused
from worker.jobs.records import Flush, Job, Progress, Transition
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore

LEASE = 10.0


def make(store: JobStore, **changes) -> Job:
    return store.create({**SPEC, **changes}, total_steps=12, epochs=3, summary={"parameters": 5})


def test_a_new_job_is_queued_with_its_first_events_and_its_wakeup(store: JobStore, clock: ManualClock):
    job = make(store)
    assert job.status is JobStatus.QUEUED
    assert job.id.startswith("job-")
    assert (job.created_at, job.started_at, job.finished_at) == (clock.now, None, None)
    assert job.progress == Progress(0, 12, 0, 3)
    assert (job.model, job.policy, job.seed) == (SPEC["model"], "mixed_float16", 7)
    assert job.metadata == {"team": "a"}
    assert job.summary == {"parameters": 5}
    assert job.queue_position == 1
    assert [event.type for event in store.events(job.id)] == ["job.created", "job.queued"]
    assert job.transitions == (Transition(clock.now, None, JobStatus.QUEUED, "created"),)
    assert [wakeup.job_id for wakeup in store.undelivered()] == [job.id]


def test_inline_data_is_kept_whole_but_shown_short(store: JobStore):
    data = {"x": [[0.5, 1.0], [2.0, 3.0]], "y": [0, 1]}
    job = make(store, data=data)
    assert job.data == {"inline": {"samples": 2}}
    assert store.spec(job.id)["data"] == data
    assert store.spec(make(store).id) == SPEC


def test_what_is_not_there(store: JobStore):
    for ask in (store.get, store.spec, store.request_cancel, store.delete):
        with pytest.raises(JobNotFound, match="job-none"):
            ask("job-none")
    assert store.events("job-none") == ()
    assert store.claim("job-none", "me", LEASE) is None


def test_an_idempotency_key_makes_one_job(store: JobStore):
    first = store.create(SPEC, total_steps=1, epochs=1, idempotency_key="k", request_hash="h")
    again = store.create(SPEC, total_steps=1, epochs=1, idempotency_key="k", request_hash="h")
    assert again.id == first.id
    with pytest.raises(IdempotencyMismatch, match="'k'"):
        store.create(SPEC, total_steps=1, epochs=1, idempotency_key="k", request_hash="other")
    assert len(store.page().data) == 1


def test_an_idempotency_key_makes_one_job_for_many_at_once(store: JobStore):
    def create(_: int) -> str:
        return store.create(SPEC, total_steps=1, epochs=1, idempotency_key="k", request_hash="h").id

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(create, range(16)))
    assert len(ids) == 1
    assert len(store.page().data) == 1


def test_pages_follow_each_other_in_both_orders(store: JobStore):
    ids = [make(store).id for _ in range(5)]
    first = store.page(limit=2)
    second = store.page(limit=2, after=first.data[-1].id)
    third = store.page(limit=2, after=second.data[-1].id)
    assert [[job.id for job in page.data] for page in (first, second, third)] == [
        [ids[4], ids[3]],
        [ids[2], ids[1]],
        [ids[0]],
    ]
    assert [page.has_more for page in (first, second, third)] == [True, True, False]
    assert [job.id for job in store.page(order="asc", after=ids[2]).data] == ids[3:]


def test_filters_apply_before_paging(store: JobStore, clock: ManualClock):
    wanted = [make(store, metadata={"team": "b", "odd'\"key": "v"}).id]
    for _ in range(3):
        make(store)
    clock.move(5)
    wanted.append(make(store, metadata={"team": "b"}).id)
    assert [job.id for job in store.page(metadata={"team": "b"}, limit=1).data] == wanted[1:]
    assert store.page(metadata={"team": "b"}, limit=1).has_more
    assert [job.id for job in store.page(metadata={"odd'\"key": "v"}).data] == wanted[:1]
    assert [job.id for job in store.page(created_after=clock.now - 1).data] == wanted[1:]
    store.request_cancel(wanted[0])
    assert [job.id for job in store.page(status=(JobStatus.CANCELLED, JobStatus.FAILED)).data] == wanted[:1]
    assert store.page(metadata={"team": "c"}).data == ()


@pytest.mark.parametrize("text", ["nul\x00", "lone \ud800"])
def test_text_that_no_database_holds_is_not_found(store: JobStore, text: str):
    make(store)
    assert store.page(metadata={text: "a"}).data == ()
    assert store.page(metadata={"team": text}).data == ()


@pytest.mark.parametrize("bad", [{"limit": 0}, {"limit": 101}, {"order": "up"}])
def test_pages_of_no_sense_are_refused(store: JobStore, bad):
    with pytest.raises(ValueError, match="expected 1 to 100"):
        store.page(**bad)


def test_a_page_behind_a_job_that_is_gone(store: JobStore):
    with pytest.raises(JobNotFound):
        store.page(after="job-gone")


def test_queue_positions_count_who_waits_longer(store: JobStore, clock: ManualClock):
    jobs = []
    for _ in range(3):
        jobs.append(make(store))
        clock.move(1)
    assert [store.get(job.id).queue_position for job in jobs] == [1, 2, 3]
    store.claim(jobs[0].id, "me", LEASE)
    assert [store.get(job.id).queue_position for job in jobs] == [None, 1, 2]
    assert {job.id: job.queue_position for job in store.page().data} == {jobs[0].id: None, jobs[1].id: 1, jobs[2].id: 2}
    assert store.queue().counts == {JobStatus.QUEUED: 2, JobStatus.RUNNING: 1}
    assert store.queue().oldest_queued_at == jobs[1].created_at
    assert store.waiting() == 2


def test_queue_positions_of_jobs_queued_in_the_same_instant(store: JobStore, clock: ManualClock):
    jobs = [make(store) for _ in range(4)]
    claim = store.claim(jobs[1].id, "me", LEASE)
    clock.move(1)
    store.release(claim)
    assert [store.get(job.id).queue_position for job in jobs] == [1, 4, 2, 3]
    assert [job.queue_position for job in store.page(order="asc").data] == [1, 4, 2, 3]
    assert [job.queue_position for job in store.page(order="asc", after=jobs[1].id).data] == [2, 3]


def test_the_end_is_estimated_from_the_jobs_own_pace(store: JobStore, clock: ManualClock):
    job = make(store)
    assert job.estimated_finish is None
    claim = store.claim(job.id, "me", LEASE)
    rows = tuple({"step": step, "applied": 1.0} for step in (1, 2, 3))
    store.record(claim, Flush(3, 0, seconds=6.0, rows=rows))
    assert store.get(job.id).estimated_finish == clock.now + 9 * 2.0
    assert store.get(job.id).progress.percent == 25.0


def test_cancelling_a_job_that_waits_is_done_at_once(store: JobStore):
    job = store.request_cancel(make(store).id)
    assert job.status is JobStatus.CANCELLED
    assert job.finished_at is not None
    assert store.claim(job.id, "me", LEASE) is None
    assert store.request_cancel(job.id) == job
    assert store.events(job.id)[-1].type == "job.cancelled"


def test_cancelling_a_running_job_waits_for_its_worker(store: JobStore):
    job = make(store)
    claim = store.claim(job.id, "me", LEASE)
    asked = store.request_cancel(job.id)
    assert asked.status is JobStatus.CANCELLING
    assert store.request_cancel(job.id) == asked
    assert store.release(claim) is JobStatus.CANCELLED
    assert [step.after.value for step in store.get(job.id).transitions] == [
        "queued",
        "running",
        "cancelling",
        "cancelled",
    ]


def test_pause_and_resume(store: JobStore):
    job = make(store)
    assert store.request_pause(job.id).status is JobStatus.PAUSED
    assert store.claim(job.id, "me", LEASE) is None
    assert store.request_resume(job.id).status is JobStatus.QUEUED
    claim = store.claim(job.id, "me", LEASE)
    assert store.request_pause(job.id).status is JobStatus.PAUSING
    assert store.request_resume(job.id).status is JobStatus.RUNNING
    store.request_pause(job.id)
    assert store.release(claim) is JobStatus.PAUSED
    assert store.request_cancel(job.id).status is JobStatus.CANCELLED
    for refused in (store.request_pause, store.request_resume):
        with pytest.raises(TransitionRefused, match="cancelled and cannot be"):
            refused(job.id)


def test_deleting_takes_the_job_with_all_that_hangs_on_it(store: JobStore):
    job = make(store)
    with pytest.raises(TransitionRefused, match="queued and cannot be deleted"):
        store.delete(job.id)
    store.request_cancel(job.id)
    store.delete(job.id)
    with pytest.raises(JobNotFound):
        store.get(job.id)
    assert store.events(job.id) == ()
    assert store.undelivered() == ()


def test_events_are_read_in_portions(store: JobStore):
    job = make(store)
    store.request_cancel(job.id)
    assert [event.id for event in store.events(job.id)] == [1, 2, 3]
    assert [event.id for event in store.events(job.id, after=1, limit=1)] == [2]
    assert store.events(job.id, after=3) == ()


def test_records_are_values(store: JobStore):
    job = make(store)
    assert store.get(job.id) == job
    assert replace(job, attempt=1) != job
    store.ping()
