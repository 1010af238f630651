"""Checkpoints of a running slice: written durably, found again, and cleared away."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from io import BufferedIOBase
from typing import cast

from engine import checkpoint as files
from engine.errors import EngineError
from engine.state import TrainState
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.errors import JobNotFound
from worker.jobs.metrics import finite
from worker.jobs.records import Checkpoint, Claim, NewCheckpoint

logger = logging.getLogger(__name__)

FORMAT = "halfstep.checkpoint/1"
FOLDER = "checkpoints"


class BadCheckpoint(Exception):
    """The file is not what was saved."""


@dataclass(frozen=True)
class Saver:
    """Checkpoints of one claim's job.

    File names begin with the attempt that wrote them: an attempt that was frozen and wakes up late writes under its
    own number, and clears away nothing of a later one.
    """

    artifacts: ArtifactStore
    claim: Claim

    def save(self, state: TrainState) -> NewCheckpoint:
        """Write the state to a file of its own; when this returns the file is durable and the row may point at it."""
        arrays, meta = state.to_parts()
        record = {"format": FORMAT, "state": meta}
        name = f"{FOLDER}/{self.claim.attempt:06d}-{state.step:09d}-{{sha256}}.safetensors"
        made = self.artifacts.put(self.claim.job_id, name, lambda file: files.write(file, arrays, record))
        logs = state.history[-1] if state.history else {}
        # Mid-epoch weights are not the ones that the last epoch's values speak of.
        score = logs.get("val_loss", logs.get("loss")) if state.batch == 0 else None
        return NewCheckpoint(state.step, state.epoch, made, finite(logs), score)

    def load(self, saved: Checkpoint) -> TrainState:
        """Read a state back.

        Raises:
            BadCheckpoint: the file is gone or its content is not what was saved.
        """
        return self._read(saved.path.removeprefix(f"{self.claim.job_id}/"), saved.sha256)

    def start(self) -> TrainState | None:
        """The state of another job that this one begins with, or None.

        Raises:
            BadCheckpoint: the copy that was made of it cannot be read.
        """
        begin = self.claim.start
        return None if begin is None else self._read(begin.name, begin.sha256)

    def _read(self, name: str, sha256: str) -> TrainState:
        try:
            with self.artifacts.open(self.claim.job_id, name) as opened:
                file = cast(BufferedIOBase, opened)
                _check(file, sha256)
                arrays, record = files.read(file)
        except (JobNotFound, EngineError) as error:
            raise BadCheckpoint(str(error)) from error
        return TrainState.from_parts(arrays, record["state"])

    def newest(self) -> tuple[TrainState, Checkpoint] | None:
        """The newest state that can be read, with its record; None if there is none."""
        for saved in self.claim.checkpoints:
            try:
                return self.load(saved), saved
            except BadCheckpoint as error:
                logger.warning("checkpoint %s of job %s is lost: %s", saved.id, self.claim.job_id, error)
        return None

    def drop(self, useless: Iterable[Checkpoint]) -> None:
        """Delete files that no row points at any more."""
        for old in useless:
            self.artifacts.remove(self.claim.job_id, old.path.removeprefix(f"{self.claim.job_id}/"))

    def sweep(self) -> None:
        """Delete what earlier attempts wrote but never got to record."""
        self.artifacts.sweep(self.claim.job_id)
        known = {saved.path.removeprefix(f"{self.claim.job_id}/") for saved in self.claim.checkpoints}
        for name in self.artifacts.names(self.claim.job_id, FOLDER):
            attempt = name.removeprefix(f"{FOLDER}/").partition("-")[0]
            if name not in known and attempt.isdigit() and int(attempt) < self.claim.attempt:
                self.artifacts.remove(self.claim.job_id, name)


def _check(file: BufferedIOBase, sha256: str) -> None:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise BadCheckpoint(f"its SHA-256 is {digest}, not {sha256}")
    file.seek(0)
