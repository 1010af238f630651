"""What calls cost while many jobs wait, beside the same calls to an empty system, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from benchmarks.interleaved import Timing, interleave
from benchmarks.queue_latency import JOB
from benchmarks.scale.stage import Stage, stage, until
from worker.settings import Limits
from worker.specs import check
from worker.specs.job import JobSpec

WANTED = 2.0
"""How many times the empty system's p99 a call may take."""


def measure(jobs: int, rounds: int) -> bool:
    """Print the table; return whether every call is within what is wanted."""
    with stage("worker.reaper") as empty, stage("worker.reaper") as full:
        memory = {module: full.resident(module) for module in full.processes}
        _fill(full, jobs)
        met = True
        print(f"{jobs} jobs wait; {rounds} calls of each kind, in turns; ms")
        print(f"{'call':8}{'empty p50':>11}{'p99':>8}{'full p50':>11}{'p99':>8}{'p99 ratio':>11}")
        newest = {on.address: on.client.submit(JOB)["id"] for on in (empty, full)}
        for name, call in _calls(newest).items():
            both: Mapping[str, Callable[[], object]] = {"empty": partial(call, empty), "full": partial(call, full)}
            p50, p99 = _percentiles(interleave(both, rounds, warmups=5))
            ratio = p99[1] / p99[0]
            met &= ratio <= WANTED
            print(f"{name:8}{p50[0]:11.2f}{p99[0]:8.2f}{p50[1]:11.2f}{p99[1]:8.2f}{ratio:11.2f}")
        for module, before in memory.items():
            now, beside = full.resident(module), empty.resident(module)
            print(f"{module}: {before / 1e6:.0f} MB before, {now / 1e6:.0f} MB full; {beside / 1e6:.0f} MB empty")
    return met


def _calls(newest: Mapping[str, str]) -> Mapping[str, Callable[[Stage], object]]:
    return {
        "list": lambda on: on.page(20),
        "get": lambda on: on.client.get(newest[on.address]),
        "submit": lambda on: on.client.submit(JOB),
    }


def _percentiles(timings: tuple[Timing, ...]) -> tuple[list[float], list[float]]:
    found = [[float(np.percentile(timing.seconds, share)) * 1e3 for timing in timings] for share in (50, 99)]
    return found[0], found[1]


def _fill(on: Stage, jobs: int) -> None:
    """Queue jobs as the API does, and wait until the reaper has announced them all."""
    summary = check.prepare(JobSpec.model_validate(JOB), Limits()).summary
    for _ in range(jobs):
        on.store.create(JOB, total_steps=summary.total_steps, epochs=summary.epochs)
    until(lambda: not on.store.undelivered(limit=1), "the reaper to announce every job", 300)
