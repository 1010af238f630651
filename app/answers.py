"""What the API answers about jobs: shapes for the document, made from the store's records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from engine.policy_scope import Scope
from worker.jobs.records import Artifact, Checkpoint, Event, Job, JobError, JobResult, Start
from worker.jobs.states import JobStatus
from worker.jobs.thinning import RULE
from worker.specs.notices import Notice
from worker.specs.reach import ReachShape

ItemT = TypeVar("ItemT", bound=BaseModel)


class Answer(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


class ListAnswer(Answer, Generic[ItemT]):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: list[ItemT]
    first_id: str | int | None = None
    last_id: str | int | None = None
    has_more: bool = False

    @classmethod
    def of(cls, data: Sequence[ItemT], key: str, *, has_more: bool = False) -> Self:
        """Return the answer for a page whose items are told apart, and paged by, their field `key`."""
        first, last = (getattr(data[0], key), getattr(data[-1], key)) if data else (None, None)
        return cls(data=list(data), first_id=first, last_id=last, has_more=has_more)


class ProgressAnswer(Answer):
    """How far a job is."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    percent: float


class JobErrorAnswer(Answer):
    """Why a job failed."""

    code: str
    message: str
    param: str | None
    step: int | None
    layer: str | None

    @classmethod
    def of(cls, error: JobError) -> JobErrorAnswer:
        """Return the answer for an error."""
        return cls(**asdict(error))


class TransitionAnswer(Answer):
    """One change of state."""

    at: float
    before: JobStatus | None
    after: JobStatus
    reason: str


class ArtifactAnswer(Answer):
    """A file that a job left; its content is at `url`."""

    object: Literal["training.job.artifact"] = "training.job.artifact"
    name: str
    sha256: str
    size: int
    created_at: float
    url: str

    @classmethod
    def of(cls, job_id: str, artifact: Artifact) -> ArtifactAnswer:
        """Return the answer for an artifact of the job."""
        return cls(
            name=artifact.name,
            sha256=artifact.sha256,
            size=artifact.size,
            created_at=artifact.created_at,
            url=f"/v1/training/jobs/{job_id}/artifacts/{artifact.name}",
        )


class ResultAnswer(Answer):
    """What a succeeded job left."""

    checkpoint: str | None
    artifacts: list[ArtifactAnswer]

    @classmethod
    def of(cls, job_id: str, result: JobResult) -> ResultAnswer:
        """Return the answer for the result of the job."""
        files = [ArtifactAnswer.of(job_id, artifact) for artifact in result.artifacts]
        return cls(checkpoint=result.checkpoint, artifacts=files)


class StartAnswer(Answer):
    """The checkpoint that a job began with."""

    checkpoint: str
    job_id: str
    step: int
    sha256: str
    optimizer: bool = Field(description="Whether the optimizer's state and the loss scale came along.")


class JobAnswer(Answer):
    """A training job."""

    id: str
    object: Literal["training.job"] = "training.job"
    status: JobStatus
    status_reason: str
    created_at: float = Field(description="Unix seconds.")
    started_at: float | None
    finished_at: float | None
    model: Any
    policy: Any
    policy_scope: Scope
    compile: Any
    fit: Any
    data: Any = Field(description="Where the samples come from; data sent inline is abbreviated to its size.")
    seed: int
    priority: int
    from_checkpoint: StartAnswer | None
    suffix: str | None
    metadata: dict[str, str]
    summary: dict[str, Any] = Field(description="What the job amounts to: parameters, samples, steps.")
    policy_reach: ReachShape | None = Field(
        description="Which layers follow the policy; null for jobs of earlier releases."
    )
    warnings: list[Notice] = Field(description="What was accepted but is doubtful.")
    progress: ProgressAnswer
    estimated_finish: float | None = Field(
        description="Unix seconds; at the job's own pace so far and its present share of the workers."
    )
    queue_position: int | None = Field(description="Place of its next slice among all queued jobs; null unless queued.")
    attempt: int = Field(description="Slices begun so far.")
    metrics: dict[str, Any] = Field(description="The latest of each.")
    loss_scale: float | None
    skipped_steps: int
    error: JobErrorAnswer | None
    transitions: list[TransitionAnswer]
    result: ResultAnswer | None

    @classmethod
    def of(cls, job: Job) -> JobAnswer:
        """Return the answer for a job."""
        return cls(
            **{name: getattr(job, name) for name in _SAME},
            from_checkpoint=_start(job.start) if job.start else None,
            metadata=dict(job.metadata),
            summary=job.summary.get("summary", {}),
            policy_reach=reach_of(job),
            warnings=notices_of(job),
            metrics=dict(job.metrics),
            progress=ProgressAnswer(**asdict(job.progress), percent=job.progress.percent),
            error=JobErrorAnswer.of(job.error) if job.error else None,
            transitions=[TransitionAnswer(**asdict(transition)) for transition in job.transitions],
            result=ResultAnswer.of(job.id, job.result) if job.result else None,
        )


def reach_of(job: Job) -> ReachShape | None:
    """Return which layers of a job follow its policy; None for jobs of releases that did not look."""
    found = job.summary.get("policy_reach")
    return None if found is None else ReachShape.model_validate(found)


def notices_of(job: Job) -> list[Notice]:
    """Return what of a job was accepted but is doubtful."""
    return [Notice(**notice) for notice in job.summary.get("warnings", ())]


def _start(start: Start) -> StartAnswer:
    return StartAnswer(**{name: value for name, value in asdict(start).items() if name != "name"})


_SAME = (
    *("id", "status", "status_reason", "created_at", "started_at", "finished_at"),
    *("model", "policy", "policy_scope", "compile", "fit", "data", "seed", "suffix", "priority"),
    *("estimated_finish", "queue_position", "attempt", "loss_scale", "skipped_steps"),
)
"""Fields that a job and its answer have alike."""


class DryRunAnswer(Answer):
    """A job that would be accepted."""

    object: Literal["training.job.dry_run"] = "training.job.dry_run"
    valid: Literal[True] = True
    summary: dict[str, Any]
    policy_reach: ReachShape = Field(description="Which layers follow the policy.")
    warnings: list[Notice]


class EventAnswer(Answer):
    """One line of a job's log."""

    id: int = Field(description="Counts 1, 2, 3, ... within the job.")
    object: Literal["training.job.event"] = "training.job.event"
    job_id: str
    created_at: float
    type: str
    level: str
    message: str
    data: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> EventAnswer:
        """Return the answer for an event."""
        return cls(**asdict(event))


class CheckpointAnswer(Answer):
    """A durable state of a run."""

    id: str
    object: Literal["training.job.checkpoint"] = "training.job.checkpoint"
    job_id: str
    step: int
    epoch: int
    sha256: str
    size: int
    metrics: dict[str, Any]
    created_at: float

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> CheckpointAnswer:
        """Return the answer for a checkpoint; where its file lies stays inside."""
        return cls(**{name: value for name, value in asdict(checkpoint).items() if name != "path"})


class ThinningAnswer(Answer):
    """That rows were left out, and which."""

    steps: int = Field(description="How many there are.")
    rule: str = RULE


class MetricsAnswer(Answer):
    """Columns of equal length, one entry a step; thinned to about `max_points`."""

    object: Literal["training.job.metrics"] = "training.job.metrics"
    job_id: str
    columns: dict[str, list[Any]] = Field(
        description="What is not finite is null; a column `nonfinite` then says for each row which it was."
    )
    thinned: ThinningAnswer | None = Field(description="What was left out; null: nothing.")


class QueueAnswer(Answer):
    """What waits and what runs."""

    object: Literal["queue"] = "queue"
    counts: dict[str, int]
    queued: int
    running: int
    oldest_queued_at: float | None
