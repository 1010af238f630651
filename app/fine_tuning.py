"""Jobs as OpenAI's fine-tuning API names and shapes them: what a request means here, and how a job looks there.

`model` names what is trained: `dense-64-10` (layers of these sizes, the last one the classes), or one of our jobs or
checkpoints to go on from. `training_file` is a file or a built-in data set. Anything else that a job can say goes into
`halfstep`, which is laid over the job that the other members make.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.answers import Answer, notices_of, reach_of
from engine import conventions, optimizers
from worker.jobs.records import Checkpoint, Event, Job
from worker.jobs.states import JobStatus
from worker.specs.bounds import MOST_KEYS, AtMost
from worker.specs.errors import FieldError, SpecError, read
from worker.specs.job import JobSpec, Metadata
from worker.specs.notices import Notice
from worker.specs.reach import ReachShape
from worker.specs.shape import Anything, Int, Number, Spec, Text

Auto = Literal["auto"]
EPOCHS = 3
"""What `n_epochs: "auto"` means."""
_DENSE = re.compile(r"dense((?:-[1-9][0-9]{0,5}){1,8})")
_OURS = re.compile(r"(job|ckpt)-[A-Za-z0-9_-]{1,60}")
_NAMED_LIKE_A_FILE = "file-"


class Hyperparameters(Spec):
    """OpenAI's three."""

    n_epochs: Auto | Int | None = Field(default=None, description="`auto` is 3.")
    batch_size: Auto | Int | None = Field(default=None, description="`auto` is 32.")
    learning_rate_multiplier: Auto | Number | None = Field(default=None, description="`auto` is 1.")


class Supervised(Spec):
    """Settings of the one method there is."""

    hyperparameters: Hyperparameters | None = None


class Method(Spec):
    """How to train."""

    type: Literal["supervised"] = Field(description="Others (dpo, reinforcement) need a language model.")
    supervised: Supervised | None = None


class FineTuningRequest(Spec):
    """OpenAI's request, and in `halfstep` what that has no words for."""

    model: Text = Field(
        description="`dense-64-10` (sizes of Dense layers, the last one the number of classes), the id of a job or of "
        "a checkpoint to go on from, or any label if `halfstep.model` is given.",
        examples=["dense-64-10"],
    )
    training_file: Text = Field(
        description="Id of an uploaded file, name of a built-in data set, or any label if `halfstep.data` is given.",
        examples=["digits"],
    )
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    suffix: Annotated[Text, StringConstraints(max_length=64)] | None = None
    seed: Int | None = None
    metadata: Metadata | None = None
    validation_file: None = Field(default=None, description="Use `halfstep.fit.validation_split`.")
    integrations: Annotated[tuple[Any, ...], AtMost(0)] | None = None
    halfstep: Annotated[dict[str, Anything], AtMost(MOST_KEYS)] | None = Field(
        default=None, description="Members of a job of ours, laid over what the rest of the request makes."
    )

    @property
    def settings(self) -> Hyperparameters:
        """The hyperparameters, wherever they stand: in `method` as OpenAI wants it now, or beside it as it was."""
        given = self.method.supervised.hyperparameters if self.method and self.method.supervised else None
        return given or self.hyperparameters or Hyperparameters()

    @property
    def source(self) -> str | None:
        """The job or checkpoint of ours to go on from; None if the model is something else."""
        return self.model if _OURS.fullmatch(self.model) and "model" not in (self.halfstep or {}) else None


class OpenAIErrorAnswer(Answer):
    """Why a job failed."""

    code: str
    message: str
    param: str | None


class FineTuningJobAnswer(Answer):
    """A job, in OpenAI's shape."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    status: str
    model: str
    fine_tuned_model: str | None = Field(description="Id of the succeeded job: a `model` for the next one.")
    organization_id: str = "halfstep"
    training_file: str
    validation_file: str | None = None
    result_files: tuple[str, ...] = ()
    trained_tokens: int | None = None
    hyperparameters: dict[str, Any]
    method: dict[str, Any]
    seed: int
    suffix: str | None
    metadata: dict[str, str]
    integrations: tuple[Any, ...] = ()
    error: OpenAIErrorAnswer | None
    policy_reach: ReachShape | None = Field(description="Ours: which layers follow the dtype policy.")
    warnings: list[Notice] = Field(description="Ours: what was accepted but is doubtful.")

    @classmethod
    def of(cls, job: Job) -> FineTuningJobAnswer:
        """Return the answer for a job, whichever API made it."""
        said: Mapping[str, Any] = job.summary.get("openai", {})
        settings = {
            "n_epochs": job.progress.epochs,
            "batch_size": job.summary.get("summary", {}).get("batch_size", "auto"),
            "learning_rate_multiplier": said.get("learning_rate_multiplier", 1.0),
        }
        data: Mapping[str, Any] = job.data or {}
        told = asdict(job.error) if job.error else None
        return cls(
            id=job.id,
            created_at=int(job.created_at),
            finished_at=_whole(job.finished_at),
            estimated_finish=_whole(job.estimated_finish),
            status=STATUSES[job.status],
            model=said.get("model") or job.suffix or "custom",
            fine_tuned_model=job.id if job.status is JobStatus.SUCCEEDED else None,
            training_file=said.get("training_file") or data.get("file") or data.get("dataset") or "inline",
            hyperparameters=settings,
            method={"type": "supervised", "supervised": {"hyperparameters": settings}},
            seed=job.seed,
            suffix=job.suffix,
            metadata=dict(job.metadata),
            error=OpenAIErrorAnswer(**{key: told[key] for key in ("code", "message", "param")}) if told else None,
            policy_reach=reach_of(job),
            warnings=notices_of(job),
        )


STATUSES: Mapping[JobStatus, str] = {
    JobStatus.VALIDATING: "validating_files",
    JobStatus.QUEUED: "queued",
    JobStatus.RUNNING: "running",
    JobStatus.PAUSING: "running",
    JobStatus.PAUSED: "paused",
    # Nothing but cancelled can come of it, and OpenAI has no word for the second until then.
    JobStatus.CANCELLING: "cancelled",
    JobStatus.CANCELLED: "cancelled",
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
}


class FineTuningEventAnswer(Answer):
    """A line of a job's log, in OpenAI's shape."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: str
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> FineTuningEventAnswer:
        """Return the answer for an event."""
        return cls(
            id=f"ftevent-{event.job_id}-{event.id}",
            created_at=int(event.created_at),
            level=event.level,
            message=event.message,
            type="metrics" if event.type == "job.metrics" else "message",
            data=dict(event.data),
        )


def event_number(job_id: str, event_id: str) -> int | None:
    """Return which event of the job an id of `FineTuningEventAnswer` names; None if it names none."""
    number = event_id.removeprefix(f"ftevent-{job_id}-")
    return int(number) if number.isdecimal() and len(number) < 16 else None


class FineTuningCheckpointAnswer(Answer):
    """A checkpoint, in OpenAI's shape."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str = Field(description="A `model` for the next job.")
    fine_tuning_job_id: str
    step_number: int
    metrics: dict[str, float | None]

    @classmethod
    def of(cls, saved: Checkpoint) -> FineTuningCheckpointAnswer:
        """Return the answer for a checkpoint."""
        measured = {ours: saved.metrics.get(name) for name, ours in _MEASURED.items() if name in saved.metrics}
        return cls(
            id=saved.id,
            created_at=int(saved.created_at),
            fine_tuned_model_checkpoint=saved.id,
            fine_tuning_job_id=saved.job_id,
            step_number=saved.step,
            metrics={"step": saved.step, **measured},
        )


_MEASURED = {
    "loss": "train_loss",
    "accuracy": "train_mean_token_accuracy",
    "val_loss": "full_valid_loss",
    "val_accuracy": "full_valid_mean_token_accuracy",
}


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)


def job_of(request: FineTuningRequest, source: Mapping[str, Any] | None) -> JobSpec:
    """Return the job that a request means.

    Args:
        request: as it came.
        source: the spec of the job that `request.source` names.

    Raises:
        SpecError: with pointers into the request.
    """
    extra = request.halfstep or {}
    base = {**_model_part(request, source), **_plain_part(request)}
    fit = extra.get("fit")
    job = {**base, **extra, **({"fit": {**base["fit"], **fit}} if isinstance(fit, dict) else {})}
    try:
        return read(JobSpec, job)
    except SpecError as error:
        raise relocated(error, request) from error


def told_of(request: FineTuningRequest) -> dict[str, Any]:
    """Return what of a request `FineTuningJobAnswer` shows and the job itself does not have."""
    multiplier = request.settings.learning_rate_multiplier
    return {
        "model": request.model,
        "training_file": request.training_file,
        "learning_rate_multiplier": 1.0 if multiplier is None or isinstance(multiplier, str) else multiplier,
    }


def _plain_part(request: FineTuningRequest) -> dict[str, Any]:
    settings = request.settings
    fit = {"epochs": EPOCHS if settings.n_epochs in (None, "auto") else settings.n_epochs}
    if settings.batch_size not in (None, "auto"):
        fit["batch_size"] = settings.batch_size
    name = request.training_file
    given = {"suffix": request.suffix, "seed": request.seed, "metadata": request.metadata}
    return {
        "fit": fit,
        "data": {"file" if name.startswith(_NAMED_LIKE_A_FILE) else "dataset": name},
        **{key: value for key, value in given.items() if value is not None},
    }


def _model_part(request: FineTuningRequest, source: Mapping[str, Any] | None) -> dict[str, Any]:
    if source is not None:
        part = {key: source[key] for key in ("model", "policy", "policy_scope", "compile") if key in source}
        return {**part, "compile": _paced(request, part["compile"]), "from_checkpoint": request.model}
    sizes = _DENSE.fullmatch(request.model)
    if sizes is None and "model" not in (request.halfstep or {}):
        text = (
            f"There is no model {request.model!r}. Give 'dense-64-10' (sizes of Dense layers, the last one the "
            "number of classes), the id of a job or checkpoint to go on from, or a Keras config in `halfstep.model`."
        )
        raise SpecError([FieldError("model_not_found", "ValueError", text, "/model")])
    compiled = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    part = {"policy": "mixed_float16", "compile": _paced(request, compiled)}
    return part if sizes is None else {**part, "model": _dense([int(size) for size in sizes[1].split("-")[1:]])}


def _dense(sizes: Sequence[int]) -> dict[str, Any]:
    """Return a Sequential model of ReLU layers and a float32 softmax; the data tells what goes in."""
    layers = [
        {"class_name": "Dense", "config": {"name": f"dense_{number}", "units": units, "activation": "relu"}}
        for number, units in enumerate(sizes[:-1], 1)
    ]
    head = {"name": "classes", "units": sizes[-1], "activation": "softmax", "dtype": "float32"}
    return {
        "class_name": "Sequential",
        "config": {"name": "dense", "layers": [*layers, {"class_name": "Dense", "config": head}]},
    }


def _paced(request: FineTuningRequest, compiled: Mapping[str, Any]) -> dict[str, Any]:
    """Return `compile` with the optimizer's learning rate multiplied as asked."""
    multiplier = request.settings.learning_rate_multiplier
    if multiplier in (None, "auto", 1) or isinstance(multiplier, str):
        return dict(compiled)
    config = optimizers.get(compiled.get("optimizer", optimizers.DEFAULT), conventions.KERAS3).get_config()
    rate = config["config"].get("learning_rate")
    if not isinstance(rate, float | int) or multiplier is None:
        text = "The optimizer has no plain learning rate to multiply; give the whole one in `halfstep.compile`."
        place = "/hyperparameters/learning_rate_multiplier"
        raise SpecError([FieldError("invalid_value", "ValueError", text, place)])
    return {**compiled, "optimizer": {**config, "config": {**config["config"], "learning_rate": rate * multiplier}}}


def relocated(error: SpecError, request: FineTuningRequest) -> SpecError:
    """Return the faults of the job with their places in the request that made it."""
    return SpecError(
        FieldError(fault.code, fault.type, fault.message, place_of(fault.pointer, request)) for fault in error.errors
    )


def place_of(pointer: str, request: FineTuningRequest) -> str:
    """Return where in a request that of a job's parts stands to which `pointer` leads."""
    if pointer.split("/")[1:2] and pointer.split("/")[1] in (request.halfstep or {}):
        return f"/halfstep{pointer}"
    return next((ours for theirs, ours in _PLACES.items() if pointer.startswith(theirs)), pointer)


_PLACES = {
    "/data": "/training_file",
    "/fit/batch_size": "/hyperparameters/batch_size",
    "/fit": "/hyperparameters/n_epochs",
    "/compile/optimizer": "/hyperparameters/learning_rate_multiplier",
    "/from_checkpoint": "/model",
    "/compile": "/model",
    "/policy": "/model",
    "/model": "/model",
}
"""Where in OpenAI's request the parts of a job come from; the first that fits counts."""
