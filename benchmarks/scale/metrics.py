"""A plot of a thousand points, of a job with very many steps and of a small one, beside reading every row."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.interleaved import interleave, table
from benchmarks.queue_latency import JOB
from benchmarks.scale.stage import Stage, stage
from worker.jobs.records import Flush

WANTED = 0.05
"""The share of reading all rows that a plot may cost."""
POINTS, SMALL, FLUSH = 1000, 2000, 5120


def measure(rows: int, rounds: int) -> bool:
    """Print the table; return whether a plot is as cheap as wanted."""
    with stage() as on:
        large, small = _trained(on, rows), _trained(on, SMALL)
        calls = {
            "all rows": lambda: _all(on, large, rows),
            f"{POINTS} points of {rows}": lambda: on.client.metrics(large, max_points=POINTS),
            f"{POINTS} points of {SMALL}": lambda: on.client.metrics(small, max_points=POINTS),
        }
        before = on.resident("app.main")
        for _ in range(20):
            on.client.metrics(small, max_points=POINTS)
        after_small = on.resident("app.main")
        for _ in range(20):
            on.client.metrics(large, max_points=POINTS)
        after_large = on.resident("app.main")
        timings = interleave(calls, rounds)
        print(table(timings))
        grew = f"{(after_small - before) / 1e6:+.1f} MB with the small job, {(after_large - after_small) / 1e6:+.1f} MB"
        print(f"the API's memory over 20 plots: {grew} with the large one")
    return timings[1].ratio <= WANTED


def _trained(on: Stage, rows: int) -> str:
    """Record the steps of a job as a slice does."""
    job = on.store.create(JOB, total_steps=rows, epochs=1)
    claim = on.store.claim(job.id, "benchmark", 3600)
    if claim is None:
        raise RuntimeError("somebody else took the job")
    for first in range(1, rows + 1, FLUSH):
        last = min(first + FLUSH - 1, rows)
        on.store.record(claim, Flush(last, 0, rows=tuple(_rows(first, last)), latest={"loss": 1.0}))
    return job.id


def _rows(first: int, last: int) -> Iterator[dict[str, float]]:
    for step in range(first, last + 1):
        yield {
            "step": step,
            "epoch": 1,
            "loss": 2.0 / step + 0.01 * (step * 7919 % 101),
            "loss_scale": 2.0 ** (15 + step % 3),
            "loss_scale_after": 2.0 ** (15 + (step + 1) % 3),
            "counter": step % 2000,
            "grads_finite": step % 500 != 0,
            "applied": step % 500 != 0,
            "grad_norm": 1.0 + step * 104729 % 13,
            "learning_rate": 0.001,
            "iterations": step - step // 500,
        }


def _all(on: Stage, job_id: str, rows: int) -> None:
    """Read every row, in as few calls as the API allows."""
    most = 100_000
    for seen in range(0, rows, most):
        on.client.metrics(job_id, after_step=seen, until_step=seen + most, max_points=most)
