"""Webhooks: noted with what makes them true, sent signed, again until they are heard, and to nobody inside."""

import json
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest
import sqlalchemy as sa
from standardwebhooks import Webhook as Verifier

from tests.receiver import receiving
from tests.waiting import PATIENCE, until
from tests.worker.clocks import ManualClock
from tests.worker.fakes import SPEC, FakeTrainer
from worker.jobs import addresses
from worker.jobs.addresses import AddressRefused, checked, is_own, literal, resolved
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.errors import JobNotFound
from worker.jobs.notices import NewWebhook, first_true
from worker.jobs.records import Flush, Job
from worker.jobs.store import JobStore
from worker.jobs.submitting import NewJob
from worker.jobs.webhooks import Delivery, Room, WebhookStore
from worker.runner import RunnerDeps, run_slice
from worker.sending import PAUSE_SECONDS, PER_RECEIVER, Sender
from worker.settings import WorkerSettings

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
def hooks(engine: sa.Engine, clock: ManualClock) -> WebhookStore:
    return WebhookStore(engine, clock)


@pytest.fixture
def sender(hooks: WebhookStore, settings: WorkerSettings, clock: ManualClock) -> Sender:
    changes = {"webhook_allowed_networks": LOOPBACK, "webhook_seconds": 0.5, "webhook_retry_seconds": (5.0, 300.0)}
    return Sender(hooks, settings.model_copy(update=changes), clock)


def told(store: JobStore, url: str, *events: str, **condition: object) -> Job:
    hook = NewWebhook(url, SECRET, events, condition or None)
    return store.submit(NewJob.of(SPEC, 12, 3, webhooks=(hook,)))


def deliveries(hooks: WebhookStore, job: Job) -> list[tuple[str, str, list[int | None]]]:
    return [(d.type, d.status, [a.status_code for a in d.attempts]) for d in hooks.deliveries(job.id)]


def only(hooks: WebhookStore, job: Job) -> Delivery:
    (delivery,) = hooks.deliveries(job.id)
    return delivery


def test_an_end_is_told_once_and_signed(store: JobStore, hooks: WebhookStore, sender: Sender, clock: ManualClock):
    clock.move(time.time() - clock())  # the verifier looks at the real clock
    with receiving() as receiver:
        job = told(store, receiver.url, "job.cancelled")
        store.request_cancel(job.id)
        assert [sender.round(), sender.round()] == [1, 0]
    (headers, body) = receiver.got[0]
    said = Verifier(SECRET).verify(body, headers)
    assert headers["webhook-id"] == only(hooks, job).id
    assert (said["type"], said["data"]["id"], said["data"]["status"]) == ("job.cancelled", job.id, "cancelled")
    assert deliveries(hooks, job) == [("job.cancelled", "delivered", [200])]


def test_it_is_tried_again_with_the_same_id_until_it_is_heard(
    store: JobStore, hooks: WebhookStore, sender: Sender, clock: ManualClock
):
    with receiving(500, 302) as receiver:
        receiver.location = receiver.url + "&followed"
        job = told(store, receiver.url, "job.cancelled")
        store.request_cancel(job.id)
        assert sender.round() == 1
        assert sender.round() == 0
        clock.move(6)
        assert sender.round() == 1
        clock.move(340)
        assert sender.round() == 1
    assert deliveries(hooks, job) == [("job.cancelled", "delivered", [500, 302, 200])]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1


def test_it_is_given_up_in_the_end(store: JobStore, hooks: WebhookStore, sender: Sender, clock: ManualClock):
    with receiving(500, 500, 500) as receiver:
        job = told(store, receiver.url, "job.cancelled")
        store.request_cancel(job.id)
        for _ in range(3):
            sender.round()
            clock.move(1000)
        assert sender.round() == 0
    assert deliveries(hooks, job) == [("job.cancelled", "failed", [500, 500, 500])]


def test_a_receiver_that_is_gone_is_told_nothing_more(store: JobStore, hooks: WebhookStore, sender: Sender):
    with receiving(410) as receiver:
        hook = hooks.register(NewWebhook(receiver.url, SECRET, ("job.cancelled",)))
        for _ in range(2):
            store.request_cancel(store.create(SPEC, total_steps=12, epochs=3).id)
            sender.round()
    assert len(receiver.got) == 1
    assert hooks.get(hook.id).disabled_at is not None


def test_a_receiver_that_never_answers_is_not_waited_for(store: JobStore, hooks: WebhookStore, sender: Sender):
    with receiving() as receiver:
        receiver.hold.clear()
        job = told(store, receiver.url, "job.cancelled")
        store.request_cancel(job.id)
        assert sender.round() == 1
    attempt = only(hooks, job).attempts[0]
    assert (attempt.status_code, attempt.error is not None) == (None, True)
    assert attempt.seconds < 5


def test_a_sender_that_died_leaves_it_to_the_next(store: JobStore, hooks: WebhookStore, clock: ManualClock):
    job = told(store, "http://127.0.0.1:9/", "job.cancelled")
    store.request_cancel(job.id)
    room = Room(10, 10, 10)
    (first,) = hooks.take_due(room, 60)
    assert hooks.take_due(room, 60) == ()
    clock.move(61)
    assert [due.id for due in hooks.take_due(room, 60)] == [first.id]
    assert SECRET not in repr(first)


def test_a_condition_is_told_once_a_job(
    store: JobStore, hooks: WebhookStore, sender: Sender, artifacts: ArtifactStore, settings: WorkerSettings
):
    with receiving() as receiver:
        job = told(store, receiver.url, metric="loss_scale", below=65536.0)
        other = told(store, receiver.url, metric="skipped_steps", above=100.0)
        deps = RunnerDeps(store, artifacts, lambda _: FakeTrainer(), settings, owner="tests")
        for each in (job, other):
            run_slice(each.id, deps)
        sender.round()
    (said,) = [json.loads(body) for _, body in receiver.got]
    assert (said["type"], said["data"]["id"]) == ("job.condition", job.id)
    assert said["data"]["condition"] == {"metric": "loss_scale", "below": 65536.0, "value": 32768.0, "step": 4}
    assert deliveries(hooks, other) == []


def test_the_condition_names_the_first_step_that_fulfils_it():
    rows = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": float("inf")}]
    assert (first_true({"metric": "loss", "above": 5.0}, rows, 0) or {})["step"] == 3
    assert first_true({"metric": "loss", "below": 5.0}, rows, 0) == {"value": 3.0, "step": 1}
    assert first_true({"metric": "accuracy", "below": 5.0}, rows, 0) is None
    assert first_true({"metric": "skipped_steps", "above": 1}, rows, 2) == {"value": 2.0, "step": 3}


def test_a_fenced_slice_tells_nothing(store: JobStore, hooks: WebhookStore, clock: ManualClock):
    job = told(store, "http://127.0.0.1:9/", "job.succeeded", metric="loss", above=0.0)
    claim = store.claim(job.id, "tests", 10)
    store.record(claim, Flush(1, 0, rows=({"step": 1, "loss": -1.0, "applied": 1.0},)))
    assert deliveries(hooks, job) == []
    store.record(claim, Flush(2, 0, rows=({"step": 2, "loss": 1.0, "applied": 1.0},)))
    store.record(claim, Flush(3, 0, rows=({"step": 3, "loss": 1.0, "applied": 1.0},)))
    store.succeed(claim, ())
    assert deliveries(hooks, job) == [("job.condition", "pending", []), ("job.succeeded", "pending", [])]


def test_another_tenants_job_and_webhook_do_not_exist(store: JobStore, hooks: WebhookStore):
    hooks.register(NewWebhook("http://127.0.0.1:9/", SECRET, ("job.cancelled",)))
    theirs = store.of("other").create(SPEC, total_steps=12, epochs=3)
    store.of("other").request_cancel(theirs.id)
    assert hooks.of("other").registered() == ()
    assert hooks.of("other").deliveries(theirs.id) == ()
    with pytest.raises(JobNotFound):
        hooks.deliveries(theirs.id)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "017700000001", "0.0.0.0", "10.0.0.8", "172.16.1.1"),
        *("192.168.0.1", "169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%lo", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::7f00:1"),
        *("::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "localhost"),
    ],
)
def test_addresses_that_are_not_public_are_refused(host: str):
    with pytest.raises(AddressRefused):
        checked(host, 80, ())


@pytest.mark.parametrize(
    "host", ["fec0::1", "3fff::1", "5f00::1", "100:0:0:1::1", "192.88.99.1", "192.0.0.9", "64:ff9b:1::1"]
)
def test_addresses_that_registries_keep_apart_are_refused_whatever_python_knows(host: str):
    with pytest.raises(AddressRefused):
        checked(host, 80, ())


def test_an_address_of_this_machine_is_refused_though_it_is_public(monkeypatch: pytest.MonkeyPatch):
    public = "93.184.216.34"
    assert checked(public, 80, ())
    monkeypatch.setattr(addresses, "is_own", lambda address: str(address) == public)
    with pytest.raises(AddressRefused):
        checked(public, 80, ())
    assert checked(public, 80, (f"{public}/32",))


def test_this_machine_knows_its_own_addresses():
    assert is_own(ip_address("127.0.0.1"))
    assert not is_own(ip_address("93.184.216.34"))


def test_every_address_of_a_name_counts():
    with pytest.raises(AddressRefused):
        checked("two.example", 80, (), lambda *_: ["93.184.216.34", "10.0.0.1"])
    assert checked("one.example", 80, (), lambda *_: ["93.184.216.34", "2606:2800:220:1::1"])
    assert checked("inside", 80, ("10.0.0.0/8",), lambda *_: ["10.0.0.1"]) == ["10.0.0.1"]
    with pytest.raises(AddressRefused):
        checked("inside", 80, ("10.0.0.0/8",), lambda *_: ["10.0.0.1", "127.0.0.1"])


def test_the_connection_goes_to_the_address_that_was_judged(
    store: JobStore, hooks: WebhookStore, sender: Sender, settings: WorkerSettings, clock: ManualClock
):
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return resolved("127.0.0.1", port)

    with receiving() as receiver:
        job = told(store, receiver.url.replace("127.0.0.1", "hooks.invalid"), "job.cancelled")
        store.request_cancel(job.id)
        Sender(hooks, sender.settings, clock, resolve).round()
    assert asked == ["hooks.invalid"]
    assert receiver.got[0][0]["host"].startswith("hooks.invalid:")
    assert deliveries(hooks, job)[0][1] == "delivered"


def test_without_the_setting_loopback_is_not_sent_to(
    store: JobStore, hooks: WebhookStore, settings: WorkerSettings, clock: ManualClock
):
    with receiving() as receiver:
        job = told(store, receiver.url, "job.cancelled")
        store.request_cancel(job.id)
        Sender(hooks, settings, clock).round()
        assert receiver.got == []
    assert "not public" in str(only(hooks, job).attempts[0].error)


def test_numbers_are_addresses_too():
    assert literal("2130706433") == "127.0.0.1"
    assert literal("::1") == "::1"
    assert literal("example.org") is None


def cancelled(store: JobStore, url: str, count: int = 1) -> list[Job]:
    jobs = [told(store, url, "job.cancelled") for _ in range(count)]
    for job in jobs:
        store.request_cancel(job.id)
    return jobs


def test_a_receiver_that_never_answers_delays_nobody_else(
    store: JobStore, hooks: WebhookStore, sender: Sender, clock: ManualClock
):
    patient = replace(sender, settings=sender.settings.model_copy(update={"webhook_seconds": PATIENCE}))
    with receiving() as silent, receiving() as other, receiving() as mine:
        silent.hold.clear()
        cancelled(store, silent.url, 40)
        (second,) = cancelled(store, mine.url)
        (theirs,) = cancelled(store.of("ben"), other.url)
        while patient.begin():
            continue
        until(lambda: other.got and mine.got)
        assert len(patient.under_way.room().full("default")) == 1
        silent.hold.set()
        until(lambda: patient.round() >= 0 and len(silent.got) == 40)
    assert [deliveries(hooks, second), deliveries(hooks.of("ben"), theirs)] == [
        [("job.cancelled", "delivered", [200])]
    ] * 2


def test_a_silent_receiver_is_left_alone_for_longer_and_longer(
    store: JobStore, hooks: WebhookStore, sender: Sender, clock: ManualClock
):
    jobs = cancelled(store, "http://127.0.0.1:9/", 20)  # nobody listens there
    tried = []
    for _ in range(4):
        tried.append(sender.round())
        clock.move(PAUSE_SECONDS * 2 ** len(tried) + 1)
    assert all(count <= 2 * PER_RECEIVER for count in tried)
    assert {status for job in jobs for _, status, _ in deliveries(hooks, job)} == {"pending"}
    for _ in range(6):
        clock.move(sum(sender.settings.webhook_retry_seconds))
        sender.round()
    assert {status for job in jobs for _, status, _ in deliveries(hooks, job)} == {"failed"}


def test_a_receiver_that_answers_again_gets_what_waits(
    store: JobStore, hooks: WebhookStore, sender: Sender, clock: ManualClock
):
    with receiving() as receiver:
        receiver.hold.clear()
        jobs = cancelled(store, receiver.url, 6)
        sender.round()
        receiver.hold.set()
        clock.move(PAUSE_SECONDS * 4)
        sender.round()
    assert {deliveries(hooks, job)[0][1] for job in jobs} == {"delivered"}
