"""Jobs of the cases over HTTP, trained here in slices as a worker trains them."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from tests.app.serving import JOBS, Served
from worker.runner import RunnerDeps, SliceOutcome, run_slice
from worker.settings import WorkerSettings
from worker.tasks import prepare_job


def body(folder: str, name: str) -> dict[str, Any]:
    """Return the job of a case."""
    found: dict[str, Any] = json.loads((resources.files("tests.cases") / folder / f"{name}.json").read_text())
    return found


def train(served: Served, job_id: str, seconds: float = 20.0) -> dict[str, Any]:
    """Train a job in slices of so many seconds until it ends, and return it."""
    shared = served.services.shared
    settings = WorkerSettings(
        data_dir=shared.data_dir,
        database_url=shared.database_url,
        broker_url="redis://nowhere",
        directive_seconds=0.01,
        slice_seconds=seconds,
    )
    deps = RunnerDeps(served.services.store, served.services.artifacts, prepare_job(settings), settings, "cases")
    while run_slice(job_id, deps) is SliceOutcome.QUEUED:
        pass
    answer: dict[str, Any] = served.http.get(f"{JOBS}/{job_id}").json()
    return answer


def trained(served: Served, job: dict[str, Any], seconds: float = 20.0) -> dict[str, Any]:
    """Submit a job, train it, and return it as it ended."""
    response = served.http.post(JOBS, json=job)
    assert response.status_code == 201, response.text
    return train(served, response.json()["id"], seconds)


def report(served: Served, job: dict[str, Any]) -> dict[str, Any]:
    """Return the report of a job."""
    answer: dict[str, Any] = served.http.get(f"{JOBS}/{job['id']}/report").json()
    return answer


def run_codes(served: Served, job: dict[str, Any]) -> list[str]:
    """Return the codes of the warnings that the run found, as its log tells them."""
    events = served.http.get(f"{JOBS}/{job['id']}/events", params={"limit": 1000}).json()["data"]
    return [event["data"]["code"] for event in events if event["type"] == "job.warning"]
