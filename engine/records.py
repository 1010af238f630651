"""What a training tells: of each step, of each epoch, and of why it cannot go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.callbacks import Action
from engine.crew import Saving
from engine.errors import EngineError
from engine.numerics.blame import Blame, LostWeight, Reason
from engine.state import TrainState


class TrainingFailed(EngineError):
    """Training cannot go on.

    Attributes:
        step: the step (from 1) that is the cause.
        layer: where it showed, if known.
        done: the state after the last step, and what that step did; None if no step was done.
    """

    default_code = "training_failed"

    def __init__(
        self,
        message: str,
        *,
        code: str,
        step: int = 0,
        layer: str | None = None,
        done: tuple[TrainState, StepRecord] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.step = step
        self.layer = layer
        self.done = done


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one step did.

    Attributes:
        step: from 1.
        epoch: from 1.
        loss: of the batch, without loss scale, penalties included.
        metrics: since the epoch began.
        loss_scale: that the step used.
        loss_scale_after: of the next step.
        counter_after: finite steps since the loss scale last changed.
        grads_finite: whether all unscaled gradients were finite.
        applied: whether the variables were updated; False is a skipped step.
        grad_norm: of all unscaled gradients together; may be nonfinite.
        learning_rate: that the step used or would have used.
        iterations: of the optimizer, after the step.
        actions: of callbacks.
        saved: models that callbacks ask to be saved.
        reason: of a step whose loss or gradients were not finite.
        blame: the same in full, where it was looked into.
        lost_before: a trainable variable that was not finite when the step began.
        lost_after: one that was not finite when the step was done.
    """

    step: int
    epoch: int
    loss: float
    metrics: Mapping[str, float]
    loss_scale: float
    loss_scale_after: float
    counter_after: int
    grads_finite: bool
    applied: bool
    grad_norm: float
    learning_rate: float
    iterations: int
    actions: tuple[Action, ...] = ()
    saved: tuple[Saving, ...] = ()
    reason: Reason | None = None
    blame: Blame | None = None
    lost_before: LostWeight | None = None
    lost_after: LostWeight | None = None


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """The end of an epoch.

    Attributes:
        epoch: from 1.
        step: steps done so far.
        logs: mean loss and metrics of the epoch, ``val_`` ones with a validation split.
        actions: of callbacks.
        saved: models that callbacks ask to be saved.
    """

    epoch: int
    step: int
    logs: Mapping[str, float]
    actions: tuple[Action, ...] = ()
    saved: tuple[Saving, ...] = ()
