"""The states of a job and the only ways between them."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class JobStatus(StrEnum):
    """Where a job stands; the value is what the API says."""

    VALIDATING = "validating"
    """Accepted, its data is still being looked at. No worker may claim it."""

    QUEUED = "queued"
    """Waits for a worker: new, between two slices, resumed, or taken back from a worker that died."""

    RUNNING = "running"
    """A worker holds the lease and trains."""

    PAUSING = "pausing"
    """A pause was asked for; the worker stops before its next training step and saves a checkpoint."""

    PAUSED = "paused"
    """Nobody trains; the checkpoint is kept until resume or cancel."""

    CANCELLING = "cancelling"
    """A cancel was asked for; the worker stops before its next training step. It cannot be taken back."""

    CANCELLED = "cancelled"
    """Stopped because it was asked to. Terminal."""

    SUCCEEDED = "succeeded"
    """Every step was trained and the model file is durable. Terminal."""

    FAILED = "failed"
    """Stopped by an error, which is in `error`. Terminal."""


TERMINAL: frozenset[JobStatus] = frozenset({JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.FAILED})
"""States that never change again."""

LEASED: frozenset[JobStatus] = frozenset({JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.CANCELLING})
"""States in which a worker holds the lease; only in these may a slice write."""

ALLOWED: Mapping[JobStatus, frozenset[JobStatus]] = MappingProxyType(
    {
        JobStatus.VALIDATING: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED, JobStatus.FAILED}),
        JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLED, JobStatus.FAILED}),
        JobStatus.RUNNING: frozenset(
            {
                JobStatus.QUEUED,
                JobStatus.PAUSING,
                JobStatus.PAUSED,  # nowhere to save to: the user goes on when there is room
                JobStatus.CANCELLING,
                JobStatus.SUCCEEDED,
                JobStatus.FAILED,
            }
        ),
        JobStatus.PAUSING: frozenset(
            {JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLING, JobStatus.SUCCEEDED, JobStatus.FAILED}
        ),
        JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
        # Whoever was told "cancelling" must not find a success later: a cancel that does not cancel is a bug.
        JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED}),
        JobStatus.CANCELLED: frozenset(),
        JobStatus.SUCCEEDED: frozenset(),
        JobStatus.FAILED: frozenset(),
    }
)
"""From a state to the states it may change to."""
