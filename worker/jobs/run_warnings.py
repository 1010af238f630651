"""Warnings that a run finds: one of a code, so that steps which are done again do not say them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.jobs.records import JobWarning, NewEvent

EVENT = "job.warning"

Kept = Sequence[Mapping[str, Any]]


def added(kept: Kept, new: Sequence[JobWarning]) -> tuple[list[Mapping[str, Any]], list[NewEvent]]:
    """Return the warnings with those of codes that were not there, and the events that tell of these."""
    codes = {warning["code"] for warning in kept}
    fresh = [warning for warning in new if warning.code not in codes]
    return [*kept, *map(_stored, fresh)], list(map(_event, fresh))


def settled(kept: Kept, final: Sequence[JobWarning]) -> tuple[list[Mapping[str, Any]], list[NewEvent]]:
    """Return the warnings at the end of a job: what the whole run shows takes the place of what a part of it showed."""
    last = {warning.code: _stored(warning) for warning in final}
    replaced = [last.pop(warning["code"], warning) for warning in kept]
    fresh = [warning for warning in final if warning.code in last]
    return [*replaced, *last.values()], list(map(_event, fresh))


def _stored(warning: JobWarning) -> Mapping[str, Any]:
    """Return a warning in the shape of those that a job gets when it is submitted."""
    return {"code": warning.code, "message": warning.message, "pointer": warning.pointer}


def _event(warning: JobWarning) -> NewEvent:
    return NewEvent(EVENT, warning.message, {"code": warning.code, "step": warning.step}, "warn")
