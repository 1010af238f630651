"""Why a training is given up, in words; and what is told of a step that was not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from engine.dtypes import DTYPES
from engine.numerics.blame import Blame, FirstBad, LostWeight, Reason
from engine.records import StepRecord

HOPELESS_SKIPS = 50
"""Steps skipped in a row, at the floor of the loss scale, after which training is given up."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why going on is pointless.

    Attributes:
        code: of the error.
        message: in words.
        step: the step that is the cause.
        layer: where it showed, if known.
    """

    code: str
    message: str
    step: int
    layer: str | None = None


def failure(record: StepRecord, skipped_in_a_row: int, *, nonfinite_is_caught: bool) -> Failure | None:
    """Return why a training has to end after this step; None if it may go on.

    Args:
        record: of the step.
        skipped_in_a_row: steps, up to this one.
        nonfinite_is_caught: whether a callback sees to losses that are not finite.
    """
    if record.lost_before is not None and not nonfinite_is_caught:
        return _lost_before(record, record.lost_before)
    if record.lost_after is not None and not nonfinite_is_caught:
        return _lost_after(record, record.lost_after)
    if skipped_in_a_row >= HOPELESS_SKIPS and record.loss_scale_after >= record.loss_scale:
        text = (
            f"{skipped_in_a_row} steps in a row, up to step {record.step}, were skipped because their gradients are "
            f"not finite, and the loss scale is down to {record.loss_scale_after:g}, where it stays."
        )
        return Failure("loss_scale_underflow", f"{text}{explained(record)}", record.step, layer_of(record.blame))
    return None


def _lost_before(record: StepRecord, lost: LostWeight) -> Failure:
    cause = max(record.step - 1, 1)
    if record.step == 1:
        text = f"{_weights(lost)} not finite before the first step: the training began with them."
    else:
        text = (
            f"{_weights(lost)} not finite any more when step {record.step} began: the update of step {cause} made "
            f"{'them' if lost.others else 'it'} so, from finite gradients. Look at the optimizer: a learning rate that "
            "is too large, or an epsilon that is 0 in the dtype of the weights."
        )
    return Failure("nonfinite_loss", f"{text} {_settings(record)}", cause, lost.layer)


def _lost_after(record: StepRecord, lost: LostWeight) -> Failure:
    why = "its gradients were not finite" if not record.grads_finite else f"its loss was {record.loss}"
    text = (
        f"Step {record.step} was applied although {why}: without a dynamic loss scale no step is skipped. "
        f"{_weights(lost)} not finite any more, and cannot become finite again."
    )
    found = layer_of(record.blame) or lost.layer
    return Failure("nonfinite_loss", f"{text}{explained(record)} {_settings(record)}", record.step, found)


def _weights(lost: LostWeight) -> str:
    several = f" and {lost.others} more variable{'s' if lost.others > 1 else ''}" if lost.others else ""
    share = f"{lost.count} of {lost.size} numbers of `{lost.name}` in layer {lost.layer!r}{several}"
    return f"{share} {'are' if lost.count > 1 or lost.others else 'is'}"


def _settings(record: StepRecord) -> str:
    return f"Loss scale {record.loss_scale:g}, learning rate {record.learning_rate:g}."


def layer_of(blame: Blame | None) -> str | None:
    """Return the layer that a step's fault lies in, if one is known."""
    return blame.first_bad.layer or None if blame is not None and blame.first_bad is not None else None


_WHERE: Mapping[Reason, str] = {
    "nonfinite_weights": "in the weights",
    "nonfinite_forward": "in the forward pass",
    "nonfinite_loss": "in the loss",
    "nonfinite_gradient": "in the backward pass",
}


def where(reason: Reason | None) -> str:
    """Return where a step stopped being finite, as part of a sentence."""
    return _WHERE[reason or "nonfinite_gradient"]


def explained(record: StepRecord) -> str:
    """Return the sentences on what made a step not finite, each with a space before it; empty if nobody looked."""
    return f" {told(record.blame)}" if record.blame is not None else ""


def told(blame: Blame) -> str:
    """Return what made a step not finite, and what would help, in sentences."""
    bad = blame.first_bad
    parts = [f"It begins {where(blame.reason)}." if bad is None else _first(bad)]
    if blame.float32_too:
        parts.append("In float32 it is not finite either, so the precision is not the cause: look at data and model.")
    elif blame.float32_too is False and bad is not None and bad.dtype != "float32":
        parts.append(_remedy(blame, bad))
    if not blame.any_scale_helps and blame.reason != "nonfinite_weights":
        parts.append("Raising or lowering the loss scale cannot help.")
    elif blame.any_scale_helps:
        parts.append("A smaller loss scale helps.")
    return " ".join(parts)


def _first(bad: FirstBad) -> str:
    owner = f"layer {bad.layer!r}" if bad.layer else "the loss"
    rows = "" if bad.row is None else f", the first in row {bad.row} of the batch"
    if bad.sample is not None:
        rows += f", sample {bad.sample} of the data"
    numbers = "" if bad.size == 1 else f" ({bad.count} of its {bad.size} numbers{rows})"
    limit = DTYPES[bad.dtype].max
    if math.isfinite(bad.shadow):
        became = f"{bad.shadow:.6g} becomes {bad.value} in {bad.dtype}, which ends at {limit:.6g}"
    else:
        became = f"its value is {bad.value} before it is rounded"
    which = f"the {bad.tensor} of {owner}, {bad.phase} {bad.op}{numbers}"
    return f"The first tensor that is not finite is {which}: {became}."


def _remedy(blame: Blame, bad: FirstBad) -> str:
    if blame.reason == "nonfinite_gradient" and blame.any_scale_helps:
        return "In float32 it is finite."
    if not bad.layer:
        return "In float32 it is finite: give the layer that the loss is taken of the dtype float32."
    if (bad.op, bad.tensor) == ("cast", "input"):  # the layers that take the data cast them, not the one they enter at
        return "In float32 it is finite: scale the data, or give the layers that take them the dtype float32."
    return f"In float32 it is finite: give layer {bad.layer!r} the dtype float32, or scale what enters it."
