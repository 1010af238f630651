"""Many jobs, many faults, one seed; and then the question whether anybody could tell from the results."""

import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.disk import NotHere
from tests.chaos.faults import FAULTS, held, saved, taken_up
from tests.chaos.service import Service
from tests.waiting import until
from tests.worker.specs.jobs import changed
from worker.jobs import database
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.recovery import Lease
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.runner import RunnerDeps, run_slice
from worker.settings import WorkerSettings
from worker.tasks import prepare_job

STEPS_PER_EPOCH = 51
LAST_SECONDS = 1800.0


@dataclass(frozen=True)
class Kind:
    """A job of which many are sent, and the weights it must end with."""

    spec: Mapping[str, Any]
    digest: str
    epochs: int

    @property
    def steps(self) -> int:
        return STEPS_PER_EPOCH * self.epochs


@dataclass
class Outcome:
    """What one kind of fault did, in seconds: `longest` from its blow until a slice that it cut off trained again,

    `lasted` from its begin until the service was whole and nothing was left cut off.
    """

    times: int = 0
    cut_off: int = 0
    longest: float = 0.0
    lasted: float = 0.0
    refused: str = ""


@dataclass
class Verdict:
    """What is wrong with the results of all jobs together; empty lists are good."""

    jobs: int = 0
    slices: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    other_weights: list[str] = field(default_factory=list)
    uneven_steps: list[str] = field(default_factory=list)
    uneven_events: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Everything that is wrong."""
        return [*self.lost, *self.doubled, *self.other_weights, *self.uneven_steps, *self.uneven_events]


def undisturbed(folder: Path, epochs: Sequence[int]) -> list[Kind]:
    """Train one job of each kind in this process, in one slice, with nobody in the way."""
    settings = WorkerSettings(data_dir=folder, broker_url="redis://nobody", slice_seconds=1e9)
    database.migrate(settings.database_url)
    engine = database.create(settings.database_url)
    store, files = JobStore(engine), ArtifactStore(settings.artifacts_url)
    deps = RunnerDeps(store, files, prepare_job(settings), settings, "nobody")
    kinds = []
    for seed, count in enumerate(epochs):
        spec = changed({"/fit/epochs": count, "/seed": seed})
        job = store.create(spec, total_steps=STEPS_PER_EPOCH * count, epochs=count)
        run_slice(job.id, deps)
        kinds.append(Kind(spec, digest(store, job.id), count))
    engine.dispose()
    return kinds


def digest(store: JobStore, job_id: str) -> str:
    """SHA-256 of a job's model file; empty if there is none."""
    return next((made.sha256 for made in store.artifacts(job_id) if made.name == "model.safetensors"), "")


@dataclass
class Campaign:
    """Sends jobs at a steady pace, and does to the service what the seed says."""

    service: Service
    kinds: Sequence[Kind]
    seed: int
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    sent: list[tuple[Future[str], Kind]] = field(default_factory=list)

    def run(self, jobs: int, faults: Sequence[str], rounds: int) -> Verdict:
        """Send `jobs` jobs over `rounds` rounds of one fault each, wait for all of them, and judge."""
        draw = random.Random(self.seed)
        deck = list(faults)
        with ThreadPoolExecutor(4) as pool:
            for number in range(rounds):
                for _ in range(jobs * (number + 1) // rounds - jobs * number // rounds):
                    self._send(draw, pool)
                self.service.feed = lambda: self._send(draw, pool)
                if number % len(deck) == 0:
                    draw.shuffle(deck)
                self._inflict(deck[number % len(deck)])
        ids = {future.result(): kind for future, kind in self.sent}
        until(lambda: all(self.service.here.store.get(job_id).terminal for job_id in ids), LAST_SECONDS, "the ends")
        return self._judge(ids)

    def _send(self, draw: random.Random, pool: ThreadPoolExecutor) -> None:
        kind = draw.choice(self.kinds)
        key = f"job {len(self.sent)} of campaign {self.seed}"
        self.sent.append((pool.submit(self.service.submit, dict(kind.spec), key), kind))

    def _inflict(self, name: str) -> None:
        outcome = self.outcomes.setdefault(name, Outcome())
        held(self.service)
        begun = time.monotonic()
        try:
            cuts = FAULTS[name](self.service)
        except NotHere as reason:
            outcome.refused = str(reason)
            return
        until(lambda: all(self._goes_on(here.lease) for here in cuts), what=f"recovery: {name}")
        outcome.times += 1
        outcome.lasted = max(outcome.lasted, time.monotonic() - begun)
        # A slice that went through the fault unharmed was not cut off.
        lost = [here for here in cuts if not self._held(here.lease)]
        outcome.cut_off += len(lost)
        again = (taken_up(self.service, here.lease) - here.at for here in lost)
        outcome.longest = max(outcome.longest, *again, 0.0)
        # Nor may the same job be hit again and again before it could save: that is what `worker_lost` is for.
        until(lambda: all(saved(self.service, here.lease) for here in lost), what=f"a checkpoint: {name}")

    def _goes_on(self, lease: Lease) -> bool:
        """Whether the same slice still holds the job, or a later one trains it."""
        now = self.service.here.store.leases()
        renewed = any((held.job_id, held.attempt) == (lease.job_id, lease.attempt) and held != lease for held in now)
        return renewed or taken_up(self.service, lease) > 0

    def _held(self, lease: Lease) -> bool:
        now = self.service.here.store.leases()
        return any((held.job_id, held.attempt) == (lease.job_id, lease.attempt) for held in now)

    def _judge(self, ids: Mapping[str, Kind]) -> Verdict:
        verdict = Verdict(jobs=len(ids))
        for job_id, kind in ids.items():
            job = self.service.here.store.get(job_id)
            verdict.slices += job.attempt
            if job.status is not JobStatus.SUCCEEDED:
                verdict.lost.append(f"{job_id} is {job.status}: {job.status_reason} {job.error}")
                continue
            self._judge_job(job_id, kind, verdict)
        known = {job["id"] for job in self.service.client.jobs(limit=100)}
        verdict.doubled += [f"{job_id} was made twice" for job_id in known - ids.keys()]
        verdict.lost += [f"{job_id} is not listed" for job_id in ids.keys() - known]
        if len(ids) != len(self.sent):
            verdict.lost.append(f"{len(self.sent)} jobs were sent under different keys, {len(ids)} came of them")
        return verdict

    def _judge_job(self, job_id: str, kind: Kind, verdict: Verdict) -> None:
        store = self.service.here.store
        if digest(store, job_id) != kind.digest:
            verdict.other_weights.append(f"{job_id} has other weights than undisturbed")
        steps = store.metrics(job_id, names=["step"], max_points=10**7)["step"]
        if steps != list(range(1, kind.steps + 1)):
            verdict.uneven_steps.append(f"{job_id} recorded {len(steps)} steps of {kind.steps}")
        events = store.events(job_id, limit=1_000_000)
        if [event.id for event in events] != list(range(1, len(events) + 1)):
            verdict.uneven_events.append(f"{job_id}: ids of its events")
        if [event.data["epoch"] for event in events if event.type == "job.epoch"] != list(range(1, kind.epochs + 1)):
            verdict.uneven_events.append(f"{job_id}: epochs told")
        if sum(event.type == "job.succeeded" for event in events) != 1:
            verdict.doubled.append(f"{job_id} succeeded more than once")
