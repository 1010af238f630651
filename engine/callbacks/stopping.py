"""Callbacks that end a training. Sources: ``early_stopping`` and ``terminate_on_nan`` of Keras 3.15's callbacks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from engine.callbacks.base import Action, Callback, Memory, Moment, Reaction, told
from engine.callbacks.monitoring import MonitorWithMargin
from engine.configured import any_integer, any_number, boolean, optional, setting


@dataclass(frozen=True, kw_only=True)
class EarlyStopping(MonitorWithMargin):
    """Ends the training when a number has stopped improving. Source: ``keras.callbacks.EarlyStopping``.

    Attributes:
        patience: epochs without improvement that are borne.
        baseline: patience begins anew only where a number is better than this one too.
        restore_best_weights: whether the weights of the best epoch are put back at the end, however it comes.
        start_from_epoch: epochs before it do not count.
    """

    patience: int = setting(any_integer, 0)
    baseline: float | None = setting(optional(any_number), None)
    restore_best_weights: bool = setting(boolean, False)
    start_from_epoch: int = setting(any_integer, 0)

    def initial(self) -> Memory:
        """Return what it remembers before the first step."""
        return Memory({"wait": 0, "best": None, "best_epoch": 0})

    def after_epoch(self, memory: Memory, moment: Moment) -> Reaction:
        """Count, and stop when patience is over."""
        current = moment.logs.get(self.monitor)
        if current is None or moment.epoch < self.start_from_epoch:
            return Reaction(memory)
        if self.restore_best_weights and not memory.arrays:
            memory = _keeping(memory.with_numbers(best_epoch=moment.epoch), moment)
        wait = int(memory.numbers["wait"] or 0) + 1
        if self.improves(moment, current, memory.numbers["best"]):
            memory = memory.with_numbers(best=current, best_epoch=moment.epoch)
            if self.restore_best_weights:
                memory = _keeping(memory, moment)
            beaten = self.baseline is None or self.improves(moment, current, self.baseline)
            return Reaction(memory.with_numbers(wait=0 if beaten else wait))
        memory = memory.with_numbers(wait=wait)
        if wait < self.patience or moment.epoch == 0:
            return Reaction(memory)
        data = {
            "monitor": self.monitor,
            "value": told(current),
            "best": told(memory.numbers["best"]),
            "epoch": moment.epoch + 1,
        }
        epochs = "1 epoch" if wait == 1 else f"{wait} epochs"
        text = f"{self.monitor} has not improved for {epochs}: training stops after epoch {moment.epoch + 1}."
        return Reaction(memory, (Action(self.class_name, "stop", text, data),))

    def after_training(self, memory: Memory) -> tuple[Action, ...]:
        """Put the best weights back."""
        if not memory.arrays:
            return ()
        epoch = int(memory.numbers["best_epoch"] or 0) + 1
        text = f"The weights of the end of epoch {epoch}, the best one, are restored."
        return (Action(self.class_name, "restore", text, {"epoch": epoch}),)


def _keeping(memory: Memory, moment: Moment) -> Memory:
    return Memory(memory.numbers, {path: array.copy() for path, array in moment.variables.items()})


@dataclass(frozen=True, kw_only=True)
class TerminateOnNaN(Callback):
    """Ends the training when the mean loss of the epoch is not finite. Source: ``keras.callbacks.TerminateOnNaN``.

    Attributes:
        raise_error: whether the training fails; else it ends as if it were done.
    """

    catches_nonfinite_loss: ClassVar[bool] = True

    raise_error: bool = setting(boolean, False)

    def after_step(self, memory: Memory, moment: Moment) -> Reaction:
        """Stop where the loss is lost."""
        loss = moment.logs["loss"]
        if math.isfinite(loss):
            return Reaction(memory)
        data = {"loss": str(loss), "batch": moment.batch, "epoch": moment.epoch + 1, "raise_error": self.raise_error}
        text = f"Batch {moment.batch} of epoch {moment.epoch + 1}: the loss is {loss}, training stops."
        return Reaction(memory, (Action(self.class_name, "stop", text, data),))
