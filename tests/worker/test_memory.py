"""A job that needs more memory than there is for it fails by itself; processes of their own hold it to that."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.worker.specs.jobs import JOB, prepared
from worker import memory
from worker.jobs import database
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore
from worker.settings import WorkerSettings

ALLOCATING = """
import sys
import numpy as np
from worker import memory
base = memory.lift()
memory.bind(base, 200 << 20)
try:
    np.ones(60 << 20)
except MemoryError:
    print("refused")
memory.lift()
print(np.ones(60 << 20).nbytes)
"""
TRAINING = """
import json, sys
from pathlib import Path
from worker.jobs.artifacts import ArtifactStore
from worker.jobs import database
from worker.jobs.store import JobStore
from worker.runner import RunnerDeps, run_slice
from worker.settings import WorkerSettings
from worker.tasks import prepare_within
folder, job, most = sys.argv[1:]
settings = WorkerSettings(data_dir=Path(folder))
store = JobStore(database.create(settings.database_url))
deps = RunnerDeps(store, ArtifactStore(settings.artifacts_url), prepare_within(settings, int(most)), settings, "test")
print(run_slice(job, deps))
"""


def _said(code: str, *arguments: str) -> list[str]:
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return ended.stdout.split()


def test_a_bound_is_a_memory_error_and_can_be_lifted() -> None:
    assert _said(ALLOCATING) == ["refused", str(8 * (60 << 20))]


def _wide(units: int) -> dict[str, Any]:
    hidden = {"class_name": "Dense", "config": {"units": units, "batch_input_shape": [None, 64]}}
    layers = [hidden, {"class_name": "Dense", "config": {"units": 10, "activation": "softmax"}}]
    return {**JOB, "model": {"class_name": "Sequential", "config": {"layers": layers}}, "fit": {"epochs": 1}}


@pytest.mark.parametrize(("most", "status"), [(60 << 20, JobStatus.FAILED), (4 << 30, JobStatus.SUCCEEDED)])
def test_a_job_beyond_its_memory_fails_alone(tmp_path: Path, most: int, status: JobStatus) -> None:
    settings = WorkerSettings(data_dir=tmp_path)
    database.migrate(settings.database_url)
    store = JobStore(database.create(settings.database_url))
    job = store.create(json.loads(json.dumps(_wide(100_000))), total_steps=51, epochs=1)
    _said(TRAINING, str(tmp_path), job.id, str(most))
    done = store.get(job.id)
    assert done.status is status
    if status is JobStatus.FAILED:
        assert done.error is not None
        assert done.error.code == "resource_limit"


def test_what_a_job_may_need_grows_with_all_that_it_holds() -> None:
    small = prepared().needed_bytes
    assert small > 1 << 30
    assert prepared({"/fit/batch_size": 1024}).needed_bytes > small
    assert prepared({"/model/config/layers/0/config/units": 4096}).needed_bytes > small


def test_the_machine_keeps_some_of_its_memory() -> None:
    assert 0 < memory.usable() < 1 << 46
