"""The numerics report of a run, as far as its step records tell."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from worker.jobs.records import StepFault

REPORT_FORMAT = "halfstep.report/1"
UNRECORDED: Mapping[str, Any] = {"census": None, "advice": None, "verdict": None}
"""Parts that a run does not record; null and named in `not_recorded`, for an empty list would say "nothing found"."""

_NO_DETAIL: Mapping[str, Any] = {"first_bad": None, "float32_too": None, "any_scale_helps": None}


def report_of(steps: int, faults: Sequence[StepFault]) -> dict[str, Any]:
    """Return the report.

    The ledger has the steps whose gradients were not finite, whether they were skipped or applied all the same. Where
    only the value of the loss was not finite, nothing was lost but that number; such steps are summed up.

    Args:
        steps: trained so far.
        faults: the steps that were not finite, from `JobStore.faults`.
    """
    skipped = sum(not fault.applied for fault in faults)
    counts = {"total": steps, "applied": steps - skipped, "skipped": skipped}
    ledger = [_entry(fault) for fault in faults if not fault.grads_finite]
    values = [fault for fault in faults if fault.grads_finite]
    return whole(
        {"schema": REPORT_FORMAT, "steps": counts, "ledger": ledger, "nonfinite_loss": _summed(values) or None}
    )


def _entry(fault: StepFault) -> dict[str, Any]:
    return {
        "step": fault.step,
        "applied": fault.applied,
        "reason": fault.reason,
        "loss_scale_before": _number(fault.loss_scale_before),
        "loss_scale_after": _number(fault.loss_scale_after),
        **(fault.detail or _NO_DETAIL),
    }


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _summed(faults: Sequence[StepFault]) -> dict[str, Any]:
    """Return the steps whose loss alone was not finite: how many, from where to where, and what is known of one."""
    if not faults:
        return {}
    found = next((fault.detail for fault in faults if fault.detail is not None), _NO_DETAIL)
    ends = {"first_step": faults[0].step, "last_step": faults[-1].step}
    known = {"first_bad": found["first_bad"], "float32_too": found["float32_too"]}
    return {"steps": len(faults), **ends, "reason": faults[0].reason, **known}


def whole(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report in which every key of the schema is there, and what is not known is named."""
    filled = {**UNRECORDED, "nonfinite_loss": None, **report}
    unknown = [name for name in UNRECORDED if filled[name] is None]
    if any(entry.get("first_bad") is None for entry in filled.get("ledger", ())):
        unknown.append("ledger.first_bad")
    return {**filled, "not_recorded": unknown}
