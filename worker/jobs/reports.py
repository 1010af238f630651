"""The numerics report of a run, as far as its step records tell."""

from collections.abc import Mapping, Sequence
from typing import Any

REPORT_FORMAT = "halfstep.report/1"
UNRECORDED: Mapping[str, Any] = {"census": None, "advice": None, "verdict": None}
"""Parts that a run does not record; null and named in `not_recorded`, for an empty list would say "nothing found"."""


def report_of(steps: int, skipped: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the report.

    Args:
        steps: trained so far.
        skipped: columns of the steps that were not applied, from `JobStore.skipped`.
    """
    columns = (skipped["step"], skipped["loss_scale"], skipped["loss_scale_after"])
    ledger = [
        {
            "step": step,
            "applied": False,
            "reason": "nonfinite_gradient",
            "loss_scale_before": before,
            "loss_scale_after": after,
            "first_bad": None,
        }
        for step, before, after in zip(*columns, strict=True)
    ]
    counts = {"total": steps, "applied": steps - len(ledger), "skipped": len(ledger)}
    return whole({"schema": REPORT_FORMAT, "steps": counts, "ledger": ledger})


def whole(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report in which every key of the schema is there, and what is not known is named."""
    filled = {**UNRECORDED, **report}
    unknown = [name for name in UNRECORDED if filled[name] is None]
    if any(entry.get("first_bad") is None for entry in filled.get("ledger", ())):
        unknown.append("ledger.first_bad")
    return {**filled, "not_recorded": unknown}
