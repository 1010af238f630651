"""A job that is trained on an uploaded file, slice by slice."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from tests.app.serving import SPEC
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.files import FileStore
from worker.jobs.store import JobStore
from worker.runner import RunnerDeps, SliceOutcome, run_slice
from worker.settings import WorkerSettings
from worker.specs.uploads import take
from worker.tasks import prepare_job


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What files are on PostgreSQL too is in the tests of the schema; here they are trained on."""
    return sqlite_url


def trained(engine: sa.Engine, artifacts: ArtifactStore, settings: WorkerSettings, file_id: str) -> tuple[int, str]:
    """Train a job to its end; how many slices it took, and the model's sha256."""
    store = JobStore(engine)
    job = store.create({**SPEC, "data": {"file": file_id}}, total_steps=4, epochs=2)
    deps = RunnerDeps(store, artifacts, prepare_job(settings), settings, "tests")
    outcomes = [run_slice(job.id, deps)]
    while outcomes[-1] is SliceOutcome.QUEUED:
        outcomes.append(run_slice(job.id, deps))
    assert outcomes[-1] is SliceOutcome.SUCCEEDED
    return len(outcomes), next(made.sha256 for made in store.artifacts(job.id) if made.name == "model.safetensors")


def test_a_job_on_a_file_comes_out_the_same_however_often_it_stops(
    engine: sa.Engine, tmp_path: Path, database_url: str
):
    settings = WorkerSettings(data_dir=tmp_path, database_url=database_url, broker_url="redis://nowhere")
    artifacts = ArtifactStore(settings.artifacts_url)
    content = io.BytesIO()
    x = np.random.default_rng(0).random((100, 64))
    np.savez(content, x=x, y=np.arange(100) % 10)
    file = take(FileStore(engine, artifacts), content, "data.npz", "training", settings.limits)
    whole = trained(engine, artifacts, settings, file.id)
    cut = trained(engine, artifacts, settings.model_copy(update={"slice_seconds": 0.0}), file.id)
    assert (whole[0], cut[0] > 1, cut[1]) == (1, True, whole[1])
    assert replace(file, described={}) == replace(FileStore(engine, artifacts).get(file.id), described={})
