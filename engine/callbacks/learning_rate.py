"""Callbacks that set the learning rate. Source: ``keras.src.callbacks.reduce_lr_on_plateau`` of Keras 3.15."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.callbacks.base import Action, Memory, Moment, Reaction, Surroundings
from engine.callbacks.monitoring import MonitorWithMargin
from engine.configured import any_integer, any_number, refuse, setting
from engine.errors import InvalidValue


def _factor(key: str, value: Any) -> float:
    found: float = any_number(key, value)
    if found >= 1.0:
        message = f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={value}"
        raise InvalidValue(message)
    if found < 0:
        raise refuse(key, "a number in [0, 1)", value)
    return found


@dataclass(frozen=True, kw_only=True)
class ReduceLROnPlateau(MonitorWithMargin):
    """Lowers the learning rate when a number has stopped improving. Source: ``keras.callbacks.ReduceLROnPlateau``.

    Attributes:
        factor: what the learning rate is multiplied by, in [0, 1).
        patience: epochs without improvement that are borne.
        cooldown: epochs after a change in which nothing is counted.
        min_lr: the lowest learning rate.
    """

    factor: float = setting(_factor, 0.1)
    patience: int = setting(any_integer, 10)
    min_delta: float = setting(any_number, 1e-4)
    cooldown: int = setting(any_integer, 0)
    min_lr: float = setting(any_number, 0.0)

    def check(self, surroundings: Surroundings) -> None:
        """Check that the learning rate can be set.

        Raises:
            InvalidValue: it follows a schedule, or "auto" cannot tell which way is better.
        """
        super().check(surroundings)
        if not surroundings.constant_rate:
            raise InvalidValue(
                "This optimizer was created with a schedule as its `learning_rate`, hence its learning rate is not "
                "settable, and ReduceLROnPlateau would have nothing to reduce. Give the optimizer a number instead.",
                code="learning_rate_not_settable",
            )

    def initial(self) -> Memory:
        """Return what it remembers before the first step."""
        return Memory({"wait": 0, "best": None, "cooldown": 0})

    def after_epoch(self, memory: Memory, moment: Moment) -> Reaction:
        """Count, and lower the learning rate when patience is over."""
        logs = {"learning_rate": moment.learning_rate}
        current = {**moment.logs, **logs}.get(self.monitor)
        if current is None:
            return Reaction(memory, logs=logs)
        wait, cooldown = int(memory.numbers["wait"] or 0), int(memory.numbers["cooldown"] or 0)
        if cooldown > 0:
            cooldown, wait = cooldown - 1, 0
        best = memory.numbers["best"]
        actions: tuple[Action, ...] = ()
        if self.improves(moment, current, best):
            best, wait = current, 0
        elif cooldown <= 0:
            wait += 1
            if wait >= self.patience:
                actions = self._reduced(moment)
            if actions:
                cooldown, wait = self.cooldown, 0
        return Reaction(memory.with_numbers(wait=wait, best=best, cooldown=cooldown), actions, logs)

    def _reduced(self, moment: Moment) -> tuple[Action, ...]:
        before = moment.learning_rate
        if not before > moment.narrow(self.min_lr):
            return ()
        after = max(before * self.factor, self.min_lr)
        data = {"monitor": self.monitor, "before": before, "learning_rate": after, "epoch": moment.epoch + 1}
        text = (
            f"{self.monitor} has reached a plateau: the learning rate goes from {before:g} to {after:g} after epoch "
            f"{moment.epoch + 1}."
        )
        return (Action(self.class_name, "learning_rate", text, data),)
