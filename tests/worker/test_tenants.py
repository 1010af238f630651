"""What is another tenant's is not there, whatever one asks of the store."""

import pytest

from worker.jobs.errors import JobNotFound
from worker.jobs.records import Flush
from worker.jobs.store import JobStore

SPEC = {"data": {"dataset": "digits"}, "metadata": {"team": "vision"}}
LOOKS = ("get", "spec", "events", "metrics", "faults", "checkpoints", "artifacts")
ACTS = ("request_cancel", "request_pause", "request_resume", "delete")


def create(store: JobStore, **options) -> str:
    return store.create(SPEC, total_steps=4, epochs=1, **options).id


@pytest.mark.parametrize("method", [*LOOKS, *ACTS])
def test_a_job_of_another_tenant_is_not_found(anna, ben, method):
    job_id = create(anna)
    before = anna.get(job_id)
    with pytest.raises(JobNotFound) as strange:
        getattr(ben, method)(job_id)
    with pytest.raises(JobNotFound) as absent:
        getattr(ben, method)("job-absent")
    assert str(strange.value).replace(job_id, "") == str(absent.value).replace("job-absent", "")
    assert anna.get(job_id) == before


def test_the_service_itself_sees_every_job(store, anna, ben):
    ids = {create(anna), create(ben), create(store)}
    assert {job.id for job in store.page().data} == ids
    assert len(store.undelivered()) == 3
    claim = store.claim(anna.page().data[0].id, "worker", 10)
    store.record(claim, Flush(1, 0, latest={"loss": 1.0}))
    assert anna.get(claim.job_id).metrics == {"loss": 1.0}


def test_lists_and_counts_tell_of_ones_own_only(anna, ben, clock):
    theirs = [create(anna) for _ in range(3)]
    clock.now += 5
    mine = create(ben)
    assert [job.id for job in ben.page().data] == [mine]
    assert ben.page(metadata={"team": "vision"}).has_more is False
    with pytest.raises(JobNotFound):
        ben.page(after=theirs[0])
    assert (sum(ben.queue().counts.values()), ben.queue().oldest_queued_at) == (1, clock.now)


def test_an_idempotency_key_is_its_tenants(anna, ben):
    first = create(anna, idempotency_key="k", request_hash="1")
    assert create(anna, idempotency_key="k", request_hash="1") == first
    assert create(ben, idempotency_key="k", request_hash="2") != first
