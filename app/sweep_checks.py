"""The check of a sweep: every job of a grid, in a process of `app.process_pool`; see `app.checks`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from app.check_services import CheckServices
from app.checks import START, Checked, check_spec, digest
from app.finite_json import parse
from worker.jobs.sweeps import Sweep
from worker.specs.bounds import MOST_ITEMS, MOST_KEYS, AtMost
from worker.specs.errors import FieldError, SpecError, read
from worker.specs.grid import Grid, placed, points_of
from worker.specs.job import EXAMPLE, JobSpec, Metadata
from worker.specs.shape import Anything, Spec, Text
from worker.specs.sources import Remembered

_OF_THE_JOB = "/job"
_FIRST_FAULTS = 20
"""A wrong job is wrong at every point of its grid; so many faults are enough to go by."""


class SweepRequest(Spec):
    """A job, and what of it to vary."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"job": EXAMPLE, "grid": {"/policy": ["float32", "mixed_float16"]}}]}
    )

    job: Annotated[dict[str, Anything], AtMost(MOST_KEYS)] = Field(
        description="A training job; every point of the grid starts from it."
    )
    grid: Annotated[dict[Text, Annotated[list[Anything], AtMost(MOST_ITEMS)]], Field(min_length=1), AtMost(8)] = Field(
        description="Values to try, by JSON pointer into the job; every combination is a job.",
        examples=[{"/policy": ["float32", "mixed_float16", "mixed_bfloat16"], "/fit/batch_size": [32, 128]}],
    )
    suffix: Annotated[Text, StringConstraints(max_length=64)] | None = None
    metadata: Metadata = Field(default_factory=dict)


@dataclass(frozen=True)
class CheckedPoint:
    """A job of a grid that would be accepted; `values` is what it has, by JSON pointer."""

    values: Mapping[str, Any]
    checked: Checked


@dataclass(frozen=True)
class CheckedSweep:
    """A sweep that would be accepted.

    Attributes:
        points: in the order of the grid.
        grid: as it was sent, like `suffix` and `metadata`.
        suffix: the caller's name for it.
        metadata: the caller's labels.
        digest: what tells the request from others that have its idempotency key.
    """

    points: tuple[CheckedPoint, ...]
    grid: Grid
    suffix: str | None
    metadata: Mapping[str, str]
    digest: str


def check_sweep(services: CheckServices, body: bytes, key: str | None) -> Sweep | CheckedSweep:
    """Return the sweep that this key made before, or else the sweep as it was checked.

    Args:
        services: of the caller.
        body: a SweepRequest.
        key: the idempotency key; looked up before anything else.

    Raises:
        BodyNotJson: see `parse`.
        IdempotencyMismatch: the key came before with another sweep.
        SpecError: the first faults, each with a pointer into the request.
    """
    request = read(SweepRequest, parse(body))
    sha256 = "" if key is None else digest(request.given())
    known = None if key is None else services.sweeps.replayed(key, sha256)
    if known is not None:
        return known
    return CheckedSweep(_points(services, request), request.grid, request.suffix, request.metadata, sha256)


def _points(services: CheckServices, request: SweepRequest) -> tuple[CheckedPoint, ...]:
    good: list[CheckedPoint] = []
    faults: dict[FieldError, None] = {}
    files = Remembered(services.sources)
    for point in points_of(request.job, request.grid, services.settings.shared.limits):
        try:
            checked = check_spec(services, read(JobSpec, point.job), files)
            good.append(CheckedPoint(point.values, replace(checked, source_pointer=_OF_THE_JOB + START)))
        except SpecError as error:
            found = dict.fromkeys(placed(error.errors, point))
            faults |= found
            if all(fault.pointer.startswith(_OF_THE_JOB) for fault in found):
                break  # the job that every point starts from is wrong
        if len(faults) >= _FIRST_FAULTS:
            break
    if faults:
        raise SpecError(faults)
    return tuple(good)
