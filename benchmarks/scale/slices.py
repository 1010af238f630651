"""What slicing a job costs, and what a second worker brings."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.scale.stage import Stage, stage, until

WANTED = 0.05
"""The share of a slice that its beginning and end may take."""
SLICE_SECONDS = 20.0
"""Of a slice with the default settings."""


def job(epochs: int) -> dict[str, Any]:
    """Return a job with some 300,000 parameters and as many slots twice, on the digits."""
    layers = [
        {"class_name": "Dense", "config": {"units": 512, "activation": "relu", "batch_input_shape": [None, 64]}},
        {"class_name": "Dense", "config": {"units": 512, "activation": "relu"}},
        {"class_name": "Dense", "config": {"units": 10, "activation": "softmax", "dtype": "float32"}},
    ]
    return {
        "model": {"class_name": "Sequential", "config": {"name": "wide", "layers": layers}},
        "policy": "mixed_float16",
        "compile": {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"},
        "fit": {"batch_size": 64, "epochs": epochs},
        "data": {"dataset": "digits"},
    }


def measure(epochs: int, jobs: int) -> bool:
    """Print both figures; return whether a slice costs as little as wanted."""
    whole, _ = _trained(epochs, "1000")
    sliced, slices = _trained(epochs, "1")
    each = (sliced - whole) / (slices - 1)
    share = each / SLICE_SECONDS
    print(f"one job of {epochs} epochs: {whole:.1f} s in one slice, {sliced:.1f} s in {slices} slices")
    print(f"a slice begins and ends in {each * 1e3:.0f} ms, {share:.1%} of {SLICE_SECONDS:.0f} s")
    one, two = _together(jobs, ["worker"]), _together(jobs, ["worker", "worker#2"])
    print(f"{jobs} jobs: {one:.1f} s with one worker, {two:.1f} s with two, {one / two:.2f} times as fast")
    return share <= WANTED


def _trained(epochs: int, slice_seconds: str) -> tuple[float, int]:
    """Return how long a job trained from its first claim to its end, and in how many slices."""
    with stage("worker", "worker.reaper", HALFSTEP_SLICE_SECONDS=slice_seconds) as on:
        done = _ended(on, on.client.submit(job(epochs))["id"])
        return done["finished_at"] - done["started_at"], done["attempt"]


def _together(jobs: int, workers: list[str]) -> float:
    with stage(*workers, "worker.reaper") as on:
        _ended(on, on.client.submit(job(1))["id"])  # every worker has loaded what it needs
        begun = time.perf_counter()
        for job_id in [on.client.submit(job(20))["id"] for _ in range(jobs)]:
            _ended(on, job_id)
        return time.perf_counter() - begun


def _ended(on: Stage, job_id: str) -> dict[str, Any]:
    until(lambda: on.client.get(job_id)["status"] in {"succeeded", "failed"}, f"the end of {job_id}", 300)
    found = on.client.get(job_id)
    if found["status"] == "failed":
        raise RuntimeError(f"{job_id} failed: {found['error']}")
    return found
