"""Models that callbacks save in the run: written at once, and artifacts of the job when it has succeeded."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from engine.compilation import with_rate
from engine.crew import Saving
from worker import keras_files
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.records import Artifact, Claim
from worker.results import Trained

FOLDER = "saved"


@dataclass(frozen=True)
class Keeper:
    """Saved models of one claim's job.

    File names begin with the attempt that wrote them, as those of checkpoints do. A resumed run saves again whatever
    was saved after the state that it resumed from, so of each name the file of the last attempt counts.
    """

    artifacts: ArtifactStore
    claim: Claim

    def save(self, trainer: Trained, saving: Saving) -> None:
        """Write a model; it is durable when this returns."""
        name = f"{FOLDER}/{self.claim.attempt:06d}-{saving.path}"
        self.artifacts.put(self.claim.job_id, name, partial(_write, trainer, saving))

    def publish(self) -> tuple[Artifact, ...]:
        """Make artifacts of what was saved, under the names that the callbacks gave."""
        job_id = self.claim.job_id
        newest = {name.rpartition("/")[2].partition("-")[2]: name for name in self._names()}
        made = []
        for path, name in sorted(newest.items()):
            with self.artifacts.open(job_id, name) as saved:
                made.append(self.artifacts.put(job_id, path, partial(shutil.copyfileobj, saved)))
        return tuple(made)

    def clear(self) -> None:
        """Delete what was published."""
        for name in self._names():
            self.artifacts.remove(self.claim.job_id, name)

    def _names(self) -> Iterator[str]:
        """Yield the saved files, those of later attempts last."""
        yield from self.artifacts.names(self.claim.job_id, FOLDER)


def _write(trainer: Trained, saving: Saving, file: BinaryIO) -> None:
    if not saving.weights_only:
        settled = with_rate(trainer.compilation, saving.state.learning_rate)
        keras_files.write_model(file, trainer.network, saving.state, settled)
        return
    with tempfile.TemporaryFile() as made:  # HDF5 wants a file that can be read and seeked
        keras_files.write_weights(made, trainer.network, saving.state)
        made.seek(0)
        shutil.copyfileobj(made, file)
