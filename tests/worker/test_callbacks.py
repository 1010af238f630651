"""Jobs with callbacks, and with several inputs and outputs, in the worker: whole, and cut at every step."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from engine.model import Model
from tests.engine.test_callbacks import TWO_ENDS
from tests.worker.specs.jobs import changed
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.files import FileStore
from worker.jobs.records import Job
from worker.jobs.store import JobStore
from worker.keras_files import read_model
from worker.predicting import answer
from worker.runner import RunnerDeps, SliceOutcome, run_slice
from worker.settings import WorkerSettings
from worker.specs.uploads import take
from worker.tasks import prepare_job

CALLBACKS = [
    {"class_name": "ModelCheckpoint", "config": {"filepath": "best.keras", "save_best_only": True}},
    {
        "class_name": "ModelCheckpoint",
        "config": {"filepath": "{epoch:02d}.weights.h5", "save_weights_only": True, "save_freq": 4},
    },
    {"class_name": "ReduceLROnPlateau", "config": {"patience": 1, "min_delta": 5.0, "factor": 0.5}},
    {
        "class_name": "EarlyStopping",
        "config": {"monitor": "val_accuracy", "min_delta": 1.0, "patience": 2, "restore_best_weights": True},
    },
]
RNG = np.random.default_rng(0)
X = {"a": RNG.random((40, 3)).tolist(), "b": RNG.random((40, 2)).tolist()}
Y = {"kind": RNG.integers(0, 3, 40).tolist(), "size": RNG.random((40, 1)).tolist()}
LOSSES = {"kind": "sparse_categorical_crossentropy", "size": "mse"}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What differs between databases is tested elsewhere."""
    return sqlite_url


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> WorkerSettings:
    return WorkerSettings(data_dir=tmp_path, database_url=database_url, broker_url="redis://nowhere")


def trained(engine: sa.Engine, settings: WorkerSettings, spec: dict[str, Any]) -> tuple[Job, dict[str, str], JobStore]:
    """Train a job to its end; the job, the sha256 of its artifacts, and where it is noted."""
    store = JobStore(engine)
    job = store.create(spec, total_steps=100, epochs=spec["fit"]["epochs"])
    deps = RunnerDeps(store, ArtifactStore(settings.artifacts_url), prepare_job(settings), settings, "tests")
    outcome = run_slice(job.id, deps)
    while outcome is SliceOutcome.QUEUED:
        outcome = run_slice(job.id, deps)
    assert outcome is SliceOutcome.SUCCEEDED, store.get(job.id).error
    return store.get(job.id), {made.name: made.sha256 for made in store.artifacts(job.id)}, store


def test_callbacks_save_reduce_and_stop_the_same_however_often_the_job_stops(
    engine: sa.Engine, settings: WorkerSettings
):
    spec = changed({"/fit/callbacks": CALLBACKS, "/fit/epochs": 9, "/fit/batch_size": 512})
    job, whole, store = trained(engine, settings, spec)
    cut_job, cut, _ = trained(engine, settings.model_copy(update={"slice_seconds": 0.0}), spec)
    assert cut == whole
    assert cut_job.attempt > 3 > job.attempt
    assert {"best.keras", "01.weights.h5", "model.keras"} <= set(whole)
    done = [event for event in store.events(job.id) if event.type == "job.callback"]
    assert {event.data["action"] for event in done} == {"save", "learning_rate", "stop", "restore"}
    told = [(event.message, event.data) for event in done]
    again = [(event.message, event.data) for event in store.events(cut_job.id) if event.type == "job.callback"]
    assert again == told
    with ArtifactStore(settings.artifacts_url).open(job.id, "history.json") as file:
        history = json.load(file)
    assert len(history["epoch"]) == job.progress.epoch < 9
    assert history["history"]["learning_rate"][0] == pytest.approx(0.01)
    with ArtifactStore(settings.artifacts_url).open(job.id, "best.keras") as file:
        assert read_model(file, 10**6).model.count_params() == 64 * 32 + 32 + 32 * 10 + 10


def two_ends(data: dict[str, Any]) -> dict[str, Any]:
    weights, metrics = {"kind": 1.0, "size": 0.5}, {"size": ["mae"]}
    compiled = {"optimizer": "adam", "loss": LOSSES, "loss_weights": weights, "metrics": metrics}
    fit = {"batch_size": 16, "epochs": 2, "validation_split": 0.2}
    return {"model": TWO_ENDS, "policy": "mixed_float16", "compile": compiled, "fit": fit, "data": data, "seed": 1}


def test_two_inputs_and_two_outputs_train_from_the_job_and_from_a_file_to_the_same_bits(
    engine: sa.Engine, settings: WorkerSettings
):
    weights = {"kind": [1.0, 0.5] * 20}
    _, inline, store = trained(engine, settings, two_ends({"x": X, "y": Y, "sample_weight": weights}))
    content = io.BytesIO()
    arrays = {"left": X["a"], "right": X["b"], "kinds": np.array(Y["kind"]), "sizes": Y["size"], "w": weights["kind"]}
    np.savez(content, **{name: np.array(array) for name, array in arrays.items()})
    artifacts = ArtifactStore(settings.artifacts_url)
    file = take(FileStore(engine, artifacts), content, "data.npz", "training", settings.limits)
    named = {"x": {"a": "left", "b": "right"}, "y": {"kind": "kinds", "size": "sizes"}, "sample_weight": {"kind": "w"}}
    job, from_file, _ = trained(engine, settings, two_ends({"file": file.id, **named}))
    assert from_file == inline
    columns = store.metrics(job.id)
    assert {"loss", "kind_loss", "size_loss", "size_mae"} <= set(columns)
    with artifacts.open(job.id, "model.keras") as opened:
        model: Model = read_model(opened, 10**6).model
    assert model.network.output_names == ("kind", "size")
    asked = {"artifacts_url": settings.artifacts_url, "job_id": job.id, "model": TWO_ENDS, "policy": "mixed_float16"}
    asked["limits"] = settings.limits.model_dump()
    said = answer({**asked, "x": {"a": X["a"][:2], "b": X["b"][:2]}, "rows": 10, "values": 100})
    assert (said["shape"], said["nonfinite"]) == ({"kind": [2, 3], "size": [2, 1]}, 0)
    assert np.allclose(np.sum(said["predictions"]["kind"], axis=1), 1.0, atol=1e-2)
    refused = answer({**asked, "x": {"a": X["a"][:2]}, "rows": 10, "values": 100})
    assert [fault["pointer"] for fault in refused["errors"]] == ["/x"]
    lower = {**settings.limits.model_dump(), "max_layers": 1}
    refused = answer({**asked, "limits": lower, "x": {"a": X["a"][:2], "b": X["b"][:2]}, "rows": 10, "values": 100})
    assert [fault["code"] for fault in refused["errors"]] == ["resource_limit"]
