"""What a callback is: a frozen config and pure functions; what it remembers lives in the TrainState.

Source: ``keras.src.callbacks`` of Keras 3.15, whose callbacks keep their memory in themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from engine.configured import Configured, setting
from engine.metrics import Metric
from engine.tape import Array

Remembered: TypeAlias = float | int | None
Kind: TypeAlias = Literal["stop", "learning_rate", "restore", "save"]


@dataclass(frozen=True, slots=True)
class Memory:
    """What one callback remembers between two calls.

    Attributes:
        numbers: by name.
        arrays: kept weights, by path.
    """

    numbers: Mapping[str, Remembered] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)

    def with_numbers(self, **numbers: Remembered) -> Memory:
        """Return the memory with some numbers changed."""
        return Memory({**self.numbers, **numbers}, self.arrays)


@dataclass(frozen=True, slots=True)
class Action:
    """What a callback did, or asks for.

    Attributes:
        callback: its class name.
        kind: "stop" the training, set the "learning_rate", "restore" weights, or "save" the model.
        message: what happened and why, in a sentence.
        data: the figures of it, as JSON values; those that are not finite as text.
    """

    callback: str
    kind: Kind
    message: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a call of a callback gives.

    Attributes:
        memory: after it.
        actions: what it did.
        logs: what it adds to the logs of the epoch.
    """

    memory: Memory
    actions: tuple[Action, ...] = ()
    logs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a callback is to work with, known before the first step.

    Attributes:
        names: that the logs of an epoch will have.
        metrics: of the model.
        constant_rate: whether the learning rate is a number, which can be set.
    """

    names: Sequence[str]
    metrics: Sequence[Metric]
    constant_rate: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a training stands when a callback is called.

    Attributes:
        epoch: from 0.
        batch: in the epoch, from 0; None at its end.
        logs: means since the epoch began; at its end with the ``val_`` ones.
        variables: values by path; they change with the next step, so what is kept is copied.
        learning_rate: of the optimizer, a number of ``floatx``.
        narrow: brings a number to ``floatx``, in which Keras compares.
        metrics: of the model.
    """

    epoch: int
    batch: int | None
    logs: Mapping[str, float]
    variables: Mapping[str, Array]
    learning_rate: float
    narrow: Any
    metrics: Sequence[Metric]


def told(number: Remembered) -> Any:
    """Return a number as JSON can hold it: one that is not finite as text."""
    return number if number is None or math.isfinite(number) else str(float(number))


def _verbosity(key: str, value: Any) -> Any:
    """Take anything: nothing is printed here, what a callback does is always told."""
    return value if isinstance(value, bool | int | str) else 0


@dataclass(frozen=True, kw_only=True)
class Callback(Configured):
    """Base of all callbacks: one that does nothing. Source: ``keras.callbacks.Callback``."""

    catches_nonfinite_loss: ClassVar[bool] = False
    """Whether a loss that is not finite is its business, so that nobody else need end the training for it."""

    def check(self, surroundings: Surroundings) -> None:
        """Check that the callback can work.

        Raises:
            InvalidValue: it cannot.
        """

    def initial(self) -> Memory:
        """Return what it remembers before the first step."""
        return Memory()

    def after_step(self, memory: Memory, moment: Moment) -> Reaction:
        """React to a step."""
        return Reaction(memory)

    def after_epoch(self, memory: Memory, moment: Moment) -> Reaction:
        """React to the end of an epoch, validation included."""
        return Reaction(memory)

    def after_training(self, memory: Memory) -> tuple[Action, ...]:
        """React to the end of the training."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Spoken(Callback):
    """A callback with Keras's switch for printing.

    Attributes:
        verbose: accepted; nothing is printed.
    """

    verbose: Any = setting(_verbosity, 0)
