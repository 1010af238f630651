"""The files that a finished job leaves: the model, the history of its epochs, and the report on its numerics."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from engine import checkpoint as files
from engine.compilation import Compilation, with_rate
from engine.network import Network
from engine.rounding import to_edge
from engine.state import TrainState
from engine.tape import Array
from engine.weights import WeightSpec
from worker import keras_files
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.metrics import finite
from worker.jobs.records import Artifact, StepFault
from worker.jobs.reports import report_of
from worker.specs.stages import scoped_model


class Trained(Protocol):
    """What a model file needs of `engine.training.Trainer`."""

    @property
    def network(self) -> Network:
        """The model's layers and connections."""

    @property
    def compilation(self) -> Compilation:
        """Its loss, metrics and optimizer."""


MODEL_FORMAT = "halfstep.model/1"
HISTORY_FORMAT = "halfstep.history/1"


def model_arrays(specs: Sequence[WeightSpec], state: TrainState) -> dict[str, Array]:
    """The weights by path, each in the true dtype of its variable."""
    return {spec.path: to_edge(state.variables[spec.path], spec.dtype) for spec in specs}


def save_model(artifacts: ArtifactStore, job_id: str, arrays: Mapping[str, Array], spec: Mapping[str, Any]) -> Artifact:
    """Write `model.safetensors`: the weights in their own dtypes, and what is needed to build the model again.

    Its bytes depend on the job's spec and its training alone: not on the job's id, a clock, or how often it stopped.
    """
    model = None if spec.get("model") is None else scoped_model(spec).config
    meta = {"format": MODEL_FORMAT, "model": model, "policy": spec.get("policy")}
    return artifacts.put(job_id, "model.safetensors", lambda file: files.write(file, arrays, meta))


def save_keras(artifacts: ArtifactStore, job_id: str, trainer: Trained, state: TrainState) -> Artifact:
    """Write `model.keras`, which Keras 3 opens: config, weights, optimizer. Its bytes, too, depend on nothing else."""
    settled = with_rate(trainer.compilation, state.learning_rate)
    return artifacts.put(
        job_id, "model.keras", lambda file: keras_files.write_model(file, trainer.network, state, settled)
    )


def save_history(artifacts: ArtifactStore, job_id: str, history: Sequence[Mapping[str, float]]) -> Artifact:
    """Write `history.json`: for each epoch its loss and metrics, as `Model.fit` returns them."""
    logs = [finite(epoch) for epoch in history]
    nonfinite = {str(number): log.pop("nonfinite") for number, log in enumerate(logs, 1) if "nonfinite" in log}
    # Sorted, as Keras has them: a checkpoint does not keep the order of names.
    names = sorted({name for log in logs for name in log})
    value = {
        "schema": HISTORY_FORMAT,
        "epoch": list(range(1, len(logs) + 1)),
        "history": {name: [log.get(name) for log in logs] for name in names},
        "nonfinite": nonfinite,
    }
    return artifacts.put(job_id, "history.json", _json(value))


def save_report(artifacts: ArtifactStore, job_id: str, state: TrainState, faults: Sequence[StepFault]) -> Artifact:
    """Write `report.json`: how many steps were applied, and each one that was not finite.

    Args:
        artifacts: where to.
        job_id: whose.
        state: the last one.
        faults: the steps that were not finite, from `JobStore.faults`.
    """
    return artifacts.put(job_id, "report.json", _json(report_of(state.step, faults)))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"
