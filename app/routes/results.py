"""What came of a job, in words and numbers: its report, and what its model says of new inputs."""

from __future__ import annotations

import json
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field

from app.answers import Answer
from app.deps import JobId, Services, ServicesDep
from app.errors import Refused
from app.json_route import JsonRoute
from app.problems import NO_RETRY, Problem, declared
from app.thread_pools import in_work
from worker.jobs.errors import JobNotFound
from worker.jobs.reports import report_of, whole
from worker.jobs.states import JobStatus
from worker.specs.shape import Anything, Spec

router = APIRouter(prefix="/v1/training/jobs", tags=["jobs"], route_class=JsonRoute)


class ReportAnswer(Answer):
    """What is known of a run's numerics; what is not recorded is null and named."""

    schema_: str = Field(alias="schema", examples=["halfstep.report/1"])
    steps: dict[str, int]
    ledger: list[dict[str, Any]] = Field(
        description="The steps whose gradients were not finite, skipped or applied: `reason` is `nonfinite_weights`, "
        "`nonfinite_forward`, `nonfinite_loss` or `nonfinite_gradient`. Of those that were looked into, `first_bad` is "
        "the first tensor that was not finite (`shadow`: its value before it was rounded), `float32_too` whether the "
        "step is not finite in float32 either, `any_scale_helps` whether a smaller loss scale makes it finite."
    )
    nonfinite_loss: dict[str, Any] | None = Field(
        description="The steps whose loss was not finite while every gradient was: nothing but that number is lost."
    )
    census: list[dict[str, Any]] | None
    advice: dict[str, Any] | None
    verdict: dict[str, Any] | None
    not_recorded: list[str] = Field(description="Parts that nobody measured in this run.")


class PredictRequest(Spec):
    """New inputs."""

    x: Anything = Field(
        json_schema_extra={"anyOf": [{"type": "array", "items": {}}, {"type": "object"}]},
        description="One entry a sample, as the model takes them; of several inputs an object of them by input name.",
        examples=[[[0.0, 1.0], [1.0, 0.0]], {"width": [[1.0]], "height": [[2.0]]}],
    )


class PredictionAnswer(Answer):
    """What a model says of the inputs."""

    object: Literal["training.job.prediction"] = "training.job.prediction"
    job_id: str
    predictions: list[Any] | dict[str, list[Any]] = Field(
        description="One entry a sample; what is not finite is null. Of several outputs an object by output name, as "
        "`shape` and `dtype` are."
    )
    shape: list[int] | dict[str, list[int]]
    dtype: str | dict[str, str] = Field(description="In which the output layer computes.")
    nonfinite: int = Field(description="How many of the numbers are not finite.")


@router.get("/{job_id}/report", responses=declared(404, 422, 503))
@in_work
def job_report(job_id: JobId, services: ServicesDep) -> ReportAnswer:
    """Tell what is known of the run's numerics: the `report.json` of a finished one, else the steps so far."""
    job = services.store.get(job_id)
    report = _saved(services, job_id) or report_of(job.progress.step, services.store.faults(job_id))
    return ReportAnswer(**{name: value for name, value in whole(report).items() if name in _PARTS})


_PARTS = frozenset(field.alias or name for name, field in ReportAnswer.model_fields.items())


def _saved(services: Services, job_id: str) -> dict[str, Any] | None:
    try:
        with services.artifacts.open(job_id, "report.json") as file:
            report: dict[str, Any] = json.load(file)
    except JobNotFound:
        return None
    return report


@router.post("/{job_id}/predict", responses=declared(400, 404, 409, 413, 415, 422, 503))
@in_work
def predict(job_id: JobId, request: PredictRequest, services: ServicesDep) -> PredictionAnswer:
    """Tell what the finished model makes of new inputs, up to a bounded number of rows."""
    job = services.store.get(job_id)
    if job.status is not JobStatus.SUCCEEDED:
        text = f"Job {job_id!r} is {job.status.value} and has no finished model; predict once it has succeeded."
        raise Refused(Problem(409, "job_not_succeeded", text, headers=NO_RETRY))
    return PredictionAnswer(job_id=job_id, **services.predictor.predict(job, request.x))
