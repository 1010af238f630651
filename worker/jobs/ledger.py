"""The steps of a job that were not finite: what their rows say, and what was found out of some of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from worker.jobs import metrics
from worker.jobs.records import StepFault
from worker.jobs.tables import step_faults

UNKNOWN = "nonfinite_gradient"
"""The reason of steps that were recorded before reasons were: nothing else was looked at."""


def note(connection: sa.Connection, job_id: str, details: Mapping[int, Mapping[str, Any]]) -> None:
    """Keep what made steps not finite, by step; a step that is redone is the same step."""
    if not details:
        return
    here = (step_faults.c.job_id == job_id, step_faults.c.step.in_(list(details)))
    connection.execute(sa.delete(step_faults).where(*here))
    rows = [{"job_id": job_id, "step": step, "body": dict(body)} for step, body in details.items()]
    connection.execute(sa.insert(step_faults), rows)


def truncate(connection: sa.Connection, job_id: str, step: int) -> None:
    """Forget every step after `step`: the run goes on from there."""
    connection.execute(sa.delete(step_faults).where(step_faults.c.job_id == job_id, step_faults.c.step > step))


def read(connection: sa.Connection, job_id: str) -> tuple[StepFault, ...]:
    """The steps that were not finite, in order."""
    columns = metrics.read(connection, job_id, faults_only=True)
    query = sa.select(step_faults.c.step, step_faults.c.body).where(step_faults.c.job_id == job_id)
    details = {row.step: row.body for row in connection.execute(query)}
    missing = np.full(len(columns["step"]), np.nan)
    rows = zip(
        columns["step"].tolist(),
        columns.get("applied", missing).tolist(),
        columns.get("grads_finite", missing).tolist(),
        columns.get(metrics.REASON, missing).tolist(),
        columns.get("loss_scale", missing).tolist(),
        columns.get("loss_scale_after", missing).tolist(),
        strict=True,
    )
    return tuple(
        StepFault(int(step), bool(applied), finite == 1, _reason(reason), before, after, details.get(int(step)))
        for step, applied, finite, reason, before, after in rows
    )


def _reason(number: float) -> str:
    return metrics.REASONS[int(number)] if number > 0 else UNKNOWN
