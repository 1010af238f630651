"""What the reaper works with: leases, losses, wake-ups."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from tests.waiting import PATIENCE, until
from tests.worker.clocks import ManualClock
from tests.worker.fakes import SPEC
from tests.worker.test_slices import LEASE, claimed, flush, lose, types
from worker.jobs import database, moves
from worker.jobs.records import Claim, Wakeup
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.jobs.tables import jobs, outbox


@pytest.fixture
def claim(store: JobStore) -> Claim:
    return claimed(store, store.create(SPEC, total_steps=12, epochs=3).id)


def test_leases_tell_who_holds_what_until_when(store: JobStore, clock: ManualClock, claim: Claim):
    clock.move(1)
    other = claimed(store, store.create(SPEC, total_steps=12, epochs=3).id)
    assert [(lease.job_id, lease.owner, lease.until) for lease in store.leases()] == [
        (claim.job_id, "me", clock.now - 1 + LEASE),
        (other.job_id, "me", clock.now + LEASE),
    ]


def test_a_lost_job_waits_again_with_a_wakeup(store: JobStore, claim: Claim):
    assert lose(store, claim) is JobStatus.QUEUED
    assert types(store, claim.job_id)[-2:] == ["job.lease_expired", "job.queued"]
    assert store.undelivered() == (Wakeup(claim.job_id, 1, store.undelivered()[0].created_at),)
    assert [step.reason for step in store.get(claim.job_id).transitions] == ["created", "claimed", "lease_expired"]


def test_a_lease_renewed_since_it_was_looked_at_is_left_alone(store: JobStore, clock: ManualClock, claim: Claim):
    (seen,) = store.leases()
    clock.move(1)
    store.renew(claim, LEASE)
    assert store.take_back(seen, "lease_expired", 5) is None
    assert store.get(claim.job_id).status is JobStatus.RUNNING


def test_two_reapers_take_back_once(store: JobStore, claim: Claim):
    (seen,) = store.leases()
    assert store.take_back(seen, "lease_expired", 5) is JobStatus.QUEUED
    assert store.take_back(seen, "lease_expired", 5) is None
    assert types(store, claim.job_id).count("job.lease_expired") == 1


def test_a_row_that_somebody_has_locked_is_left_for_the_next_round(postgresql_url: str):
    database.migrate(postgresql_url)
    engine = database.create(postgresql_url)
    store = JobStore(engine)
    claim = claimed(store, store.create(SPEC, total_steps=12, epochs=3).id)
    with database.writing(engine) as connection:
        moves.hold(connection, claim)
        assert lose(store, claim) is None
    assert lose(store, claim) is JobStatus.QUEUED
    engine.dispose()


def test_a_deleted_job_is_not_taken_back(store: JobStore, claim: Claim):
    (seen,) = store.leases()
    store.request_cancel(claim.job_id)
    store.release(claim)
    store.delete(claim.job_id)
    assert store.take_back(seen, "lease_expired", 5) is None


@pytest.mark.parametrize(("ask", "ends"), [("request_cancel", "cancelled"), ("request_pause", "paused")])
def test_a_wish_outlives_the_worker_that_heard_it(store: JobStore, claim: Claim, ask: str, ends: str):
    getattr(store, ask)(claim.job_id)
    assert lose(store, claim) is JobStatus(ends)
    assert types(store, claim.job_id)[-2:] == ["job.lease_expired", f"job.{ends}"]


def test_a_job_that_kills_its_workers_fails(store: JobStore, claim: Claim):
    assert lose(store, claim, max_lost=3) is JobStatus.QUEUED
    assert lose(store, claimed(store, claim.job_id), max_lost=3) is JobStatus.QUEUED
    assert lose(store, claimed(store, claim.job_id), max_lost=3) is JobStatus.FAILED
    job = store.get(claim.job_id)
    assert job.error is not None
    assert job.error.code == "worker_lost"
    assert "3 workers in a row" in job.error.message


def test_a_checkpoint_forgives_lost_leases(store: JobStore, claim: Claim):
    assert lose(store, claim, max_lost=2) is JobStatus.QUEUED
    second = claimed(store, claim.job_id)
    store.record(second, flush(1, 2, saved=True))
    assert lose(store, second, max_lost=2) is JobStatus.QUEUED


def test_a_wakeup_stays_in_the_outbox_until_it_was_sent(store: JobStore, clock: ManualClock):
    job = store.create(SPEC, total_steps=12, epochs=3)
    assert store.undelivered(older_than=1) == ()
    clock.move(2)
    (wakeup,) = store.undelivered(older_than=1)
    store.delivered(wakeup)
    assert store.undelivered() == ()
    store.delivered(wakeup)
    assert store.forgotten(older_than=0.0) == (Wakeup(job.id, 0, clock.now),)


def test_only_jobs_that_wait_too_long_after_they_were_announced_count_as_forgotten(store: JobStore, clock: ManualClock):
    first, second = (store.create(SPEC, total_steps=12, epochs=3) for _ in range(2))
    unsent = store.create(SPEC, total_steps=12, epochs=3)
    for job in (first, second):
        store.delivered(Wakeup(job.id, 0))
    claimed(store, second.id)
    clock.move(5)
    assert [wakeup.job_id for wakeup in store.forgotten(older_than=3)] == [first.id]
    assert store.forgotten(older_than=6) == ()
    assert [wakeup.job_id for wakeup in store.undelivered()] == [unsent.id]


def test_news_of_an_old_wakeup_does_not_hide_the_next_one(store: JobStore, claim: Claim):
    store.release(claim)
    store.delivered(Wakeup(claim.job_id, 0))
    assert [wakeup.attempt for wakeup in store.undelivered()] == [1]


def test_a_claim_and_a_delivery_at_the_same_moment_do_not_lock_each_other_out(postgresql_url: str):
    database.migrate(postgresql_url)
    engine = database.create(postgresql_url)
    store = JobStore(engine, ManualClock())
    job = store.create(SPEC, total_steps=12, epochs=3)
    (wakeup,) = store.undelivered()
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as claiming:
            # As a claim does: the job's row first, its outbox entry then.
            claiming.execute(sa.select(jobs.c.id).where(jobs.c.id == job.id).with_for_update())
            done = pool.submit(store.delivered, wakeup)
            until(lambda: _waiting_for_locks(engine) == 1, what="the delivery to wait for the job's row")
            claiming.execute(sa.delete(outbox).where(outbox.c.job_id == job.id))
        done.result(timeout=PATIENCE)
    assert store.undelivered() == ()
    engine.dispose()


def _waiting_for_locks(engine: sa.Engine) -> int:
    # A look of its own each time: PostgreSQL shows one transaction always the same picture.
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.reading(engine) as connection:
        return int(connection.execute(sa.text(query)).scalar_one())
