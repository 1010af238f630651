"""Beginning with another job's checkpoint: looked at before the job is accepted, and copied into its own files."""

import shutil
from collections.abc import Mapping
from contextlib import closing
from typing import Any, BinaryIO, cast

from engine import checkpoint as files
from engine.errors import EngineError
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.errors import JobNotFound
from worker.jobs.records import Checkpoint, Start

_WEIGHTS = "weights/"
_NAME = "start/{sha256}.safetensors"
_CHUNK = 1024 * 1024
_SAME = ("model", "policy", "policy_scope")
_DEFAULTS: Mapping[str, Any] = {"policy_scope": "auto"}
_SAME_COMPILE = ("optimizer", "auto_scale_loss")


def weight_shapes(artifacts: ArtifactStore, saved: Checkpoint) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights in a checkpoint, by path; only the file's header is read.

    Raises:
        JobNotFound: the file is gone, or damaged.
    """
    try:
        with closing(_opened(artifacts, saved)) as file:
            entries = files.read_header(cast(files.ReadableFile, file)).entries
    except EngineError as error:
        raise JobNotFound(saved.id) from error
    return {entry.name.removeprefix(_WEIGHTS): entry.shape for entry in entries if entry.name.startswith(_WEIGHTS)}


def continues(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether a job trains the same model in the same way as another, so that its optimizer's state has a meaning."""
    compiled, before = new.get("compile") or {}, old.get("compile") or {}
    same = all(new.get(key, _DEFAULTS.get(key)) == old.get(key, _DEFAULTS.get(key)) for key in _SAME)
    return same and all(compiled.get(key) == before.get(key) for key in _SAME_COMPILE)


def copied(artifacts: ArtifactStore, saved: Checkpoint, job_id: str, *, optimizer: bool) -> Start:
    """Copy a checkpoint into the files of a job that is about to be made.

    Raises:
        JobNotFound: the file is gone.
    """
    with closing(_opened(artifacts, saved)) as source:
        made = artifacts.put(job_id, _NAME, lambda target: shutil.copyfileobj(source, target, _CHUNK))
    if made.sha256 != saved.sha256:
        artifacts.delete(job_id)
        raise JobNotFound(saved.id)
    return Start(saved.id, saved.job_id, saved.step, made.name, made.sha256, optimizer)


def _opened(artifacts: ArtifactStore, saved: Checkpoint) -> BinaryIO:
    return artifacts.open(saved.job_id, saved.path.removeprefix(f"{saved.job_id}/"))
