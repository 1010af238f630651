"""Steps that were not finite, as a job tells of them: what is kept of each, and the warnings that they give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from engine.failing import told
from engine.numerics.blame import Blame, FirstBad, Reason
from worker.jobs.records import JobWarning, StepFault


def detail_of(blame: Blame) -> dict[str, Any]:
    """Return what is kept of a step that was looked into, as JSON values; numbers that are not finite as text."""
    bad = blame.first_bad
    first = None if bad is None else {name: _json(value) for name, value in asdict(bad).items()}
    return {"first_bad": first, "float32_too": blame.float32_too, "any_scale_helps": blame.any_scale_helps}


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def blame_of(fault: StepFault) -> Blame | None:
    """Return what `detail_of` was made of; None of a step that was not looked into."""
    if fault.detail is None:
        return None
    first: Mapping[str, Any] | None = fault.detail["first_bad"]
    bad = None
    if first is not None:
        numbers = {name: float(first[name]) for name in ("value", "shadow")}
        bad = FirstBad(**{**first, **numbers, "index": tuple(first["index"])})
    reason = cast("Reason", fault.reason)
    return Blame(reason, bad, fault.detail["float32_too"], fault.detail["any_scale_helps"])


def loss_alone(first: int, last: int, count: int, loss: float, blame: Blame | None) -> JobWarning:
    """Return the warning that the value of the loss was not finite while gradients and weights were.

    Args:
        first: the first such step.
        last: the last one.
        count: how many there are.
        loss: the value at the first one; nan where it is not known any more.
        blame: of one of them.
    """
    value = "not finite" if math.isnan(loss) else str(loss)
    text = (
        f"The loss is {value} {_steps(first, last, count)}, while every gradient and every weight is finite: training "
        "goes on as it should, only the number that is reported is lost, and callbacks that watch it see it."
    )
    return JobWarning("nonfinite_loss", _with(text, blame), step=first)


def applied_nonfinite(first: int, last: int, count: int, blame: Blame | None) -> JobWarning:
    """Return the warning that steps were applied although their gradients were not finite, and the weights live on."""
    text = (
        f"Gradients were not finite {_steps(first, last, count)}, and the update was made all the same, for without a "
        "dynamic loss scale no step is skipped. The weights are still finite, but what they were changed by is not "
        "what was asked for."
    )
    return JobWarning("applied_nonfinite", _with(text, blame), step=first)


def _steps(first: int, last: int, count: int) -> str:
    return f"at step {first}" if first == last else f"at {count} steps, from step {first} to step {last}"


def _with(text: str, blame: Blame | None) -> str:
    return text if blame is None else f"{text} {told(blame)}"
