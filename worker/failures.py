"""From an exception of a slice to the error the job's owner reads."""

import errno
import secrets
from collections.abc import Callable
from typing import NoReturn

from engine.errors import EngineError
from engine.training import TrainingFailed
from worker.jobs.artifacts import Unreachable
from worker.jobs.records import JobError, Trouble
from worker.saving import BadCheckpoint
from worker.specs.errors import SpecError

_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})


class WorkerTrouble(Exception):
    """Something around the job is out of order (a disk, a network), not the job; another slice may have more luck."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


def explain(error: Exception) -> JobError:
    """What to tell of an error that ended a slice.

    Of an error that nobody foresaw only a reference is told; the same reference is noted on the exception, whose
    traceback goes to the worker's log.

    Raises:
        WorkerTrouble: the job is not to blame.
    """
    for kind, told in _TOLD:
        if isinstance(error, kind):
            return told(error)
    reference = secrets.token_hex(6)
    error.add_note(f"reference {reference}")
    return JobError("internal", f"The worker met an error that nobody foresaw; its log has it under {reference}.")


def foreseen(error: Exception) -> bool:
    """Whether `explain` says all there is to say, so that no traceback is needed."""
    return isinstance(error, tuple(kind for kind, _ in _TOLD))


def _training_failed(error: TrainingFailed) -> JobError:
    return JobError(error.code, error.message, step=error.step or None, layer=error.layer)


def _spec_error(error: SpecError) -> JobError:
    first = error.errors[0]
    return JobError("data_invalid", first.message, param=first.pointer)


def _engine_error(error: EngineError) -> JobError:
    return JobError("data_invalid", error.message, param="".join(f"/{part}" for part in error.path) or None)


def _bad_checkpoint(error: BadCheckpoint) -> JobError:
    text = f"The checkpoint that the job begins with cannot be read: {error}. Submit the job again."
    return JobError("data_invalid", text, param="/from_checkpoint")


def _memory_error(error: MemoryError) -> JobError:
    return JobError("resource_limit", f"The worker has not enough memory for this job. {error}".strip())


def _os_error(error: OSError) -> NoReturn:
    if error.errno in _DISK:
        text = "The worker has no room left to save the job's files: free some where the artifacts lie."
        raise WorkerTrouble(Trouble("storage_full", text)) from error
    _unreachable(error)


def _unreachable(error: OSError | Unreachable) -> NoReturn:
    raise WorkerTrouble(Trouble("storage_trouble", f"The worker cannot reach the job's files: {error}")) from error


_TOLD: tuple[tuple[type[Exception], Callable[..., JobError]], ...] = (
    (TrainingFailed, _training_failed),
    (SpecError, _spec_error),
    (EngineError, _engine_error),
    (BadCheckpoint, _bad_checkpoint),
    (MemoryError, _memory_error),
    (OSError, _os_error),
    (Unreachable, _unreachable),
)
"""First match wins: from the special to the general."""
