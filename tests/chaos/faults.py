"""What is done to a running service. Each fault returns the leases it cut off, which somebody must take up again."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence

from tests.chaos import disk
from tests.chaos.disk import NotHere
from tests.chaos.service import WORKERS, Service
from tests.e2e.workers import stop_group, writable
from tests.waiting import until
from worker.jobs.recovery import Lease

Fault = Callable[[Service], Sequence[Lease]]
WAIT_SECONDS = 120.0


def held(service: Service) -> Lease:
    """Wait for a lease of a living worker; send another job if there is none to wait for."""

    def found() -> Lease | None:
        leases = service.here.store.leases()
        if not leases and not service.here.store.waiting() and service.answers():
            service.feed()
            until(lambda: service.here.store.leases() or service.here.store.waiting(), WAIT_SECONDS, "another job")
        return next((lease for lease in leases if service.worker_of(lease)), None)

    lease = until(found, WAIT_SECONDS, "a job to be trained")
    assert lease is not None
    return lease


def kill_holder(lease: Lease) -> Sequence[Lease]:
    try:
        os.kill(int(lease.owner.split("/")[2]), signal.SIGKILL)
    except ProcessLookupError:
        return []
    return [lease]


def kill_child(service: Service) -> Sequence[Lease]:
    return kill_holder(held(service))


def kill_worker(service: Service) -> Sequence[Lease]:
    lease = held(service)
    name = service.worker_of(lease) or WORKERS[0]
    service.kill(name)
    service.start(name)
    return [lease]


def kill_api(service: Service) -> Sequence[Lease]:
    service.kill("api")
    service.start("api")
    return []


def kill_reaper(service: Service) -> Sequence[Lease]:
    service.kill("reaper")
    cut_off = kill_holder(held(service))
    service.start("reaper")
    return cut_off


def kill_broker(service: Service) -> Sequence[Lease]:
    service.kill_broker()
    return service.here.store.leases()


def empty_broker(service: Service) -> Sequence[Lease]:
    service.kill_broker(forget=True)
    return service.here.store.leases()


def restart_postgres(service: Service) -> Sequence[Lease]:
    if service.postgres is None:
        raise NotHere("SQLite has no server")
    leases = service.here.store.leases()
    service.postgres.server.end(signal.SIGQUIT)
    service.postgres.server.start()
    until(service.answers, WAIT_SECONDS, "the API to find the database again")
    return leases


def fill_disk(service: Service) -> Sequence[Lease]:
    lease = held(service)
    seen = service.here.store.get(lease.job_id).last_event_id

    def noticed() -> bool:
        events = service.here.store.events(lease.job_id, after=seen, limit=100_000)
        return any(event.type in {"job.delayed", "job.succeeded"} for event in events)

    with disk.full(service.here.settings.data_dir / "artifacts"):
        until(noticed, WAIT_SECONDS, "a job to tell of the full disk")
    for job in service.client.jobs(status=["paused"]):
        service.here.store.request_resume(job["id"])
    return [lease]


def rolling_restart(service: Service) -> Sequence[Lease]:
    for name in ("api", *WORKERS, "reaper"):
        service.end(name)
        service.start(name)
    return []


def set_clock_back(service: Service) -> Sequence[Lease]:
    service.kill("reaper")
    service.parts["reaper"] = service.here.start("tests.chaos.set_back", "--seconds", "3600")
    cut_off = kill_holder(held(service))
    until(lambda: all(taken_up(service, lease) for lease in cut_off), WAIT_SECONDS, "the late reaper to help")
    service.end("reaper")
    service.start("reaper")
    return cut_off


def freeze_worker(service: Service) -> Sequence[Lease]:
    return _freeze(service, lambda: True)


def freeze_writer(service: Service) -> Sequence[Lease]:
    url = service.here.settings.database_url
    if not url.startswith("sqlite"):
        raise NotHere("PostgreSQL ends such sessions")
    return _freeze(service, lambda: not writable(url))


def _freeze(service: Service, caught: Callable[[], bool]) -> Sequence[Lease]:
    """Stop a worker in mid-slice, where `caught` says so, until another has its job; then let it go on."""
    while True:
        lease = held(service)
        group = service.parts[service.worker_of(lease) or WORKERS[0]].pid
        stop_group(group)
        mine = {(now.job_id, now.attempt) for now in service.here.store.leases()}
        if (lease.job_id, lease.attempt) in mine and caught():
            break
        os.killpg(group, signal.SIGCONT)
    until(lambda: taken_up(service, lease), WAIT_SECONDS, "another worker to take the job")
    os.killpg(group, signal.SIGCONT)
    return [lease]


def triple_messages(service: Service) -> Sequence[Lease]:
    for job in service.client.jobs(status=["queued", "running"]):
        for _ in range(2):
            service.here.queue.wake(job["id"])
    return []


def taken_up(service: Service, lease: Lease) -> bool:
    """Whether the job of a lease trains again in a later slice, or need do so no more."""
    return _later(service, lease, frozenset({"job.metrics", "job.checkpoint"}))


def saved(service: Service, lease: Lease) -> bool:
    """Whether a later slice saved a checkpoint, or need do so no more."""
    return _later(service, lease, frozenset({"job.checkpoint"}))


def _later(service: Service, lease: Lease, kinds: frozenset[str]) -> bool:
    """Whether an event of these kinds came in a later slice, or the job has ended."""
    job = service.here.store.get(lease.job_id)
    if job.terminal:
        return True
    events = service.here.store.events(job.id, limit=100_000)
    later = [event.id for event in events if event.type == "job.running" and event.data["attempt"] > lease.attempt]
    return bool(later) and any(event.id > later[0] and event.type in kinds for event in events)


FAULTS: Mapping[str, Fault] = {
    "training child killed": kill_child,
    "worker killed": kill_worker,
    "reaper killed, and a child": kill_reaper,
    "API killed": kill_api,
    "broker killed": kill_broker,
    "broker killed, its data lost": empty_broker,
    "PostgreSQL restarted": restart_postgres,
    "disk full": fill_disk,
    "rolling restart (SIGTERM)": rolling_restart,
    "reaper's clock an hour back": set_clock_back,
    "worker frozen past its lease": freeze_worker,
    "worker frozen within a write": freeze_writer,
    "every message tripled": triple_messages,
}
