"""What is done to a running service. Each fault returns what it may have cut off, which somebody must take up again."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.chaos import disk
from tests.chaos.disk import NotHere
from tests.chaos.service import WORKERS, Service
from tests.e2e.workers import stop_group, writable
from tests.waiting import until
from worker.jobs.recovery import Lease


@dataclass(frozen=True)
class Cut:
    """A lease that a fault may have cut off, and when (unix s)."""

    lease: Lease
    at: float


Fault = Callable[[Service], Sequence[Cut]]


def cut(lease: Lease) -> Cut:
    """A lease that is cut off now."""
    return Cut(lease, time.time())


def cut_all(service: Service) -> Sequence[Cut]:
    """All leases there are, now."""
    return list(map(cut, service.here.store.leases()))


def held(service: Service) -> Lease:
    """Wait for a lease of a living worker; send another job if there is none to wait for."""

    def found() -> Lease | None:
        leases = service.here.store.leases()
        if not leases and not service.here.store.waiting() and service.answers():
            service.feed()
            until(lambda: service.here.store.leases() or service.here.store.waiting(), what="another job")
        return next((lease for lease in leases if service.worker_of(lease)), None)

    lease = until(found, what="a job to be trained")
    assert lease is not None
    return lease


def kill_holder(lease: Lease) -> Sequence[Cut]:
    now = cut(lease)
    try:
        os.kill(int(lease.owner.split("/")[2]), signal.SIGKILL)
    except ProcessLookupError:
        return []
    return [now]


def kill_child(service: Service) -> Sequence[Cut]:
    return kill_holder(held(service))


def kill_worker(service: Service) -> Sequence[Cut]:
    lease = held(service)
    name = service.worker_of(lease) or WORKERS[0]
    now = cut(lease)
    service.kill(name)
    service.start(name)
    return [now]


def kill_api(service: Service) -> Sequence[Cut]:
    service.kill("api")
    service.start("api")
    return []


def kill_reaper(service: Service) -> Sequence[Cut]:
    service.kill("reaper")
    cut_off = kill_holder(held(service))
    service.start("reaper")
    return cut_off


def kill_broker(service: Service) -> Sequence[Cut]:
    leases = cut_all(service)
    service.kill_broker()
    return leases


def empty_broker(service: Service) -> Sequence[Cut]:
    leases = cut_all(service)
    service.kill_broker(forget=True)
    return leases


def restart_postgres(service: Service) -> Sequence[Cut]:
    if service.postgres is None:
        raise NotHere("SQLite has no server")
    leases = cut_all(service)
    service.postgres.server.end(signal.SIGQUIT)
    service.postgres.server.start()
    until(service.answers, what="the API to find the database again")
    return leases


def fill_disk(service: Service) -> Sequence[Cut]:
    lease = held(service)
    seen = service.here.store.get(lease.job_id).last_event_id

    def noticed() -> bool:
        events = service.here.store.events(lease.job_id, after=seen, limit=100_000)
        return any(event.type in {"job.delayed", "job.succeeded"} for event in events)

    with disk.full(service.here.settings.data_dir / "artifacts"):
        until(noticed, what="a job to tell of the full disk")
    now = cut(lease)
    for job in service.client.jobs(status=["paused"]):
        service.here.store.request_resume(job["id"])
    return [now]


def rolling_restart(service: Service) -> Sequence[Cut]:
    cut_off: list[Cut] = []
    for name in ("api", *WORKERS, "reaper"):
        leases = [lease for lease in service.here.store.leases() if service.worker_of(lease) == name]
        cut_off += map(cut, leases)
        service.end(name)
        service.start(name)
    return cut_off


def set_clock_back(service: Service) -> Sequence[Cut]:
    service.kill("reaper")
    service.parts["reaper"] = service.here.start("tests.chaos.set_back", "--seconds", "3600")
    cut_off = kill_holder(held(service))
    until(lambda: all(taken_up(service, here.lease) for here in cut_off), what="the late reaper to help")
    service.end("reaper")
    service.start("reaper")
    return cut_off


def freeze_worker(service: Service) -> Sequence[Cut]:
    return _freeze(service, lambda: True)


def freeze_writer(service: Service) -> Sequence[Cut]:
    url = service.here.settings.database_url
    if not url.startswith("sqlite"):
        raise NotHere("PostgreSQL ends such sessions")
    return _freeze(service, lambda: not writable(url), meanwhile=("reaper",))


def _freeze(service: Service, caught: Callable[[], bool], meanwhile: Sequence[str] = ()) -> Sequence[Cut]:
    """Stop a worker in mid-slice, where `caught` says so, until another has its job; then let it go on.

    Parts that are named are killed and started again `meanwhile`.
    """
    while True:
        lease = held(service)
        group = service.parts[service.worker_of(lease) or WORKERS[0]].pid
        stop_group(group)
        mine = {(now.job_id, now.attempt) for now in service.here.store.leases()}
        if (lease.job_id, lease.attempt) in mine and caught():
            now = cut(lease)
            break
        os.killpg(group, signal.SIGCONT)
    for name in meanwhile:
        service.kill(name)
        service.start(name)
    until(lambda: taken_up(service, lease), what="another worker to take the job")
    os.killpg(group, signal.SIGCONT)
    return [now]


def triple_messages(service: Service) -> Sequence[Cut]:
    for job in service.client.jobs(status=["queued", "running"]):
        for _ in range(2):
            service.here.queue.wake(job["id"])
    return []


def taken_up(service: Service, lease: Lease) -> float:
    """When the job of a lease trained again in a later slice, or ended without one (unix s); 0 as long as neither."""
    return _later(service, lease, frozenset({"job.metrics", "job.checkpoint"}))


def saved(service: Service, lease: Lease) -> float:
    """When a later slice saved a checkpoint, or the job ended; 0 as long as neither."""
    return _later(service, lease, frozenset({"job.checkpoint"}))


def _later(service: Service, lease: Lease, kinds: frozenset[str]) -> float:
    """When an event of these kinds came first in a later slice than that of a lease, or the job ended."""
    job = service.here.store.get(lease.job_id)
    events = service.here.store.events(job.id, limit=100_000)
    begun = [event.id for event in events if event.type == "job.running" and event.data["attempt"] > lease.attempt]
    came = [event.created_at for event in events if begun and event.id > begun[0] and event.type in kinds]
    return came[0] if came else (job.finished_at or 0.0)


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
