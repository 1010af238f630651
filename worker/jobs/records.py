"""What the job store hands out and takes in: frozen records, no behaviour beyond derived fields.

Times are unix seconds (float), steps are counted from 1 (0: none yet), epochs count finished ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from worker.jobs.states import TERMINAL, JobStatus

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Progress:
    """How far a job is: `step` of `total_steps` trained, `epoch` of `epochs` finished."""

    step: int
    total_steps: int
    epoch: int
    epochs: int

    @property
    def percent(self) -> float:
        """Steps trained, in percent of all; 0.0 to 100.0, two digits."""
        return round(100.0 * self.step / self.total_steps, 2) if self.total_steps else 0.0


@dataclass(frozen=True)
class Transition:
    """One change of state; `before` is None for the first."""

    at: float
    before: JobStatus | None
    after: JobStatus
    reason: str


@dataclass(frozen=True)
class Trouble:
    """What kept a slice from writing its files.

    Attributes:
        reason: one word, for `status_reason`.
        message: what happened and what to do, for the job's log.
    """

    reason: str
    message: str


@dataclass(frozen=True)
class JobError:
    """Why a job failed; `code` is one of API.md's job error codes."""

    code: str
    message: str
    param: str | None = None
    step: int | None = None
    layer: str | None = None


@dataclass(frozen=True)
class Artifact:
    """A durable file of a job. `path` is where it lies, relative to the artifact store's root."""

    name: str
    sha256: str
    size: int
    path: str
    created_at: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """A durable state of a run after `step`; `metrics` are those of the last finished epoch (or step)."""

    id: str
    job_id: str
    step: int
    epoch: int
    sha256: str
    size: int
    path: str
    metrics: Mapping[str, Any]
    created_at: float


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file: `sha256` of its content, `arrays_sha256` of what jobs read of it, `stored` bytes of both."""

    id: str
    tenant: str
    filename: str
    purpose: str
    size: int
    sha256: str
    arrays_sha256: str
    stored: int
    described: Mapping[str, Any]
    created_at: float


@dataclass(frozen=True)
class FilePage:
    """One page of a list of files."""

    data: tuple[StoredFile, ...]
    has_more: bool


@dataclass(frozen=True)
class Start:
    """The checkpoint of another job that a job begins with: a copy of its own, so the other may be deleted.

    Attributes:
        checkpoint: id it was taken from.
        job_id: whose that was.
        step: after which it was saved.
        name: of the copy among the new job's files.
        sha256: of the copy.
        optimizer: whether the optimizer's state and the loss scale go along, or the weights alone.
    """

    checkpoint: str
    job_id: str
    step: int
    name: str
    sha256: str
    optimizer: bool


@dataclass(frozen=True)
class JobResult:
    """What a succeeded job left: the last checkpoint's id and the artifacts."""

    checkpoint: str | None
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True)
class Job:
    """A training job as the database knows it at one moment.

    `spec` is the JobSpec as JSON (model, policy, compile, fit, data, seed, suffix, metadata); data sent inline is
    replaced by `{"inline": {"samples": N}}`, the whole is `JobStore.spec(id)`. `attempt` counts slices and is the
    fencing token of the newest. `queue_position` is 1 for the next to run, None unless queued.
    """

    id: str
    status: JobStatus
    status_reason: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    spec: Mapping[str, Any]
    summary: Mapping[str, Any]
    progress: Progress
    estimated_finish: float | None
    queue_position: int | None
    attempt: int
    metrics: Mapping[str, Any]
    loss_scale: float | None
    skipped_steps: int
    error: JobError | None
    result: JobResult | None
    transitions: tuple[Transition, ...]
    last_event_id: int
    priority: int = 0
    start: Start | None = None

    @property
    def terminal(self) -> bool:
        """Whether the job can never change again."""
        return self.status in TERMINAL

    @property
    def model(self) -> Any:
        """The Keras model config."""
        return self.spec.get("model")

    @property
    def policy(self) -> Any:
        """The policy value as it was sent."""
        return self.spec.get("policy")

    @property
    def policy_scope(self) -> Any:
        """Which layers follow the policy."""
        return self.spec.get("policy_scope", "auto")

    @property
    def compile(self) -> Any:
        """Optimizer, loss and metrics."""
        return self.spec.get("compile")

    @property
    def fit(self) -> Any:
        """Batch size, epochs and the like."""
        return self.spec.get("fit")

    @property
    def data(self) -> Any:
        """Where the samples come from; inline data is abbreviated."""
        return self.spec.get("data")

    @property
    def seed(self) -> int:
        """The seed of initializers, shuffling and dropout."""
        return int(self.spec.get("seed") or 0)

    @property
    def suffix(self) -> str | None:
        """The user's name for the job."""
        return self.spec.get("suffix")

    @property
    def metadata(self) -> Mapping[str, str]:
        """The user's labels."""
        return self.spec.get("metadata") or NOTHING


@dataclass(frozen=True)
class Page:
    """One page of jobs; `has_more` says whether another follows in the same order."""

    data: tuple[Job, ...]
    has_more: bool


@dataclass(frozen=True)
class Event:
    """One line of a job's log. `id` counts 1, 2, 3, ... within the job, without gaps, in commit order."""

    id: int
    job_id: str
    created_at: float
    type: str
    level: str
    message: str
    data: Mapping[str, Any]


def place_of_step(step: int) -> int:
    """Where in a run the event of a training step belongs; see `NewEvent.place`."""
    return 2 * step


def place_of_epoch(step: int) -> int:
    """Where in a run the end of an epoch belongs whose last step this is: after the step, before the next."""
    return 2 * step + 1


@dataclass(frozen=True)
class NewEvent:
    """An event to be written.

    `place` orders the events that tell of the training itself. A resumed run passes some places again, and as it
    does the very same there, events of places that the log already tells of are not written twice.
    """

    type: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)
    level: str = "info"
    place: int | None = None


@dataclass(frozen=True)
class Claim:
    """The right to run one slice: `attempt` is the fencing token that each of its writes carries."""

    job_id: str
    attempt: int
    owner: str
    checkpoints: tuple[Checkpoint, ...]
    """Durable checkpoints to resume from, newest first."""
    total_steps: int
    epochs: int
    start: Start | None = None
    """What the first slice begins with, instead of fresh weights."""


@dataclass(frozen=True)
class StepFault:
    """A step whose loss or gradients were not finite.

    Attributes:
        step: from 1.
        applied: whether it changed the weights all the same.
        grads_finite: whether only its loss was not finite.
        reason: where it stopped being finite, one of `metrics.REASONS`.
        loss_scale_before: that it used.
        loss_scale_after: of the next step.
        detail: `first_bad`, `float32_too` and `any_scale_helps`, of a step that was looked into; else None.
    """

    step: int
    applied: bool
    grads_finite: bool
    reason: str
    loss_scale_before: float
    loss_scale_after: float
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class JobWarning:
    """Something doubtful that a run found; a job has one of a code."""

    code: str
    message: str
    pointer: str = ""
    step: int | None = None


class Directive(StrEnum):
    """What the user wants of a running slice."""

    CONTINUE = "continue"
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True)
class NewCheckpoint:
    """A checkpoint whose file is durable and which the job shall now point at."""

    step: int
    epoch: int
    artifact: Artifact
    metrics: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    """Lower is better; the best is kept beside the newest."""


@dataclass(frozen=True)
class Flush:
    """What a slice has to tell since its last write; written in one fenced transaction."""

    step: int
    epoch: int
    seconds: float = 0.0
    """Time trained since the last write."""
    rows: tuple[Mapping[str, float], ...] = ()
    """One per training step, in order; keys as in `worker.jobs.metrics.COLUMNS` and the job's metric names."""
    latest: Mapping[str, Any] = field(default_factory=dict)
    loss_scale: float | None = None
    events: tuple[NewEvent, ...] = ()
    checkpoint: NewCheckpoint | None = None
    faults: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """What made steps not finite, by step; see `StepFault.detail`."""
    warnings: tuple[JobWarning, ...] = ()
    """Left out where the job has a warning of the same code already."""


@dataclass(frozen=True)
class Wakeup:
    """An outbox entry: the job must be announced to the workers; `attempt` is the number of slices it had."""

    job_id: str
    attempt: int
    created_at: float = 0.0


@dataclass(frozen=True)
class QueueState:
    """What waits and what runs; `oldest_queued_at` is None if nothing waits."""

    counts: Mapping[JobStatus, int] = field(default_factory=dict)
    oldest_queued_at: float | None = None
