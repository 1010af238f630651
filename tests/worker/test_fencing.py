"""A slice that lost its job can write nothing, whatever it tries and however it lost it."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tests.worker.clocks import ManualClock
from tests.worker.fakes import SPEC
from worker.jobs.errors import LeaseLost
from worker.jobs.records import Artifact, Claim, Flush, JobError, NewCheckpoint, NewEvent, Trouble
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.jobs.tables import metadata

LEASE = 10.0
FILE = Artifact("model.safetensors", "0" * 64, 1, "j/model.safetensors")
FLUSH = Flush(
    1,
    0,
    rows=({"step": 1.0, "loss": 1.0, "applied": 1.0},),
    latest={"loss": 1.0},
    events=(NewEvent("job.metrics", "Step 1.", place=2),),
    checkpoint=NewCheckpoint(1, 0, FILE),
)

WRITES: dict[str, Callable[[JobStore, Claim], object]] = {
    "record": lambda store, claim: store.record(claim, FLUSH),
    "renew": lambda store, claim: store.renew(claim, LEASE),
    "directive": lambda store, claim: store.directive(claim),
    "rewind": lambda store, claim: store.rewind(claim, None),
    "release": lambda store, claim: store.release(claim),
    "give_back": lambda store, claim: store.give_back(claim, Trouble("storage_full", "no room"), 3),
    "succeed": lambda store, claim: store.succeed(claim, [FILE]),
    "fail": lambda store, claim: store.fail(claim, JobError("internal", "no")),
}


def _taken_back(store: JobStore, claim: Claim) -> None:
    lease = next(lease for lease in store.leases() if lease.job_id == claim.job_id)
    assert store.take_back(lease, "lease_expired", 5) is JobStatus.QUEUED


def _claimed_again(store: JobStore, claim: Claim) -> None:
    _taken_back(store, claim)
    assert store.claim(claim.job_id, "other", LEASE) is not None


def _deleted(store: JobStore, claim: Claim) -> None:
    store.request_cancel(claim.job_id)
    store.release(claim)
    store.delete(claim.job_id)


LOSSES: dict[str, Callable[[JobStore, Claim], object]] = {
    "released": lambda store, claim: store.release(claim),
    "taken back": _taken_back,
    "claimed again": _claimed_again,
    "succeeded": lambda store, claim: store.succeed(claim, []),
    "failed": lambda store, claim: store.fail(claim, JobError("internal", "no")),
    "deleted": _deleted,
}


def everything(engine: sa.Engine) -> dict[str, list]:
    with engine.connect() as connection:
        return {table.name: list(connection.execute(sa.select(table)).all()) for table in metadata.sorted_tables}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_stale_claim_writes_nothing(store: JobStore, engine: sa.Engine, loss: str):
    claim = store.claim(store.create(SPEC, total_steps=12, epochs=3).id, "me", LEASE)
    LOSSES[loss](store, claim)
    before = everything(engine)
    for write in WRITES.values():
        with pytest.raises(LeaseLost, match="no longer holds"):
            write(store, claim)
    assert everything(engine) == before


def test_every_method_that_takes_a_claim_is_tried_here():
    takes = {name for name, method in vars(JobStore).items() if "claim" in getattr(method, "__annotations__", {})}
    assert takes == set(WRITES)


@pytest.mark.parametrize("write", WRITES)
def test_a_good_claim_may_do_it(store: JobStore, write: str):
    claim = store.claim(store.create(SPEC, total_steps=12, epochs=3).id, "me", LEASE)
    WRITES[write](store, claim)
    assert store.get(claim.job_id).attempt == 1


def test_only_one_of_two_claims_wins(store: JobStore):
    job = store.create(SPEC, total_steps=12, epochs=3)
    assert store.claim(job.id, "a", LEASE) is not None
    assert store.claim(job.id, "b", LEASE) is None


def test_a_late_holder_that_nobody_noticed_may_go_on(store: JobStore, clock: ManualClock):
    claim = store.claim(store.create(SPEC, total_steps=12, epochs=3).id, "me", LEASE)
    clock.move(LEASE * 3)
    store.record(claim, FLUSH)
    store.renew(claim, LEASE)
    assert store.leases()[0].until == clock.now + LEASE
