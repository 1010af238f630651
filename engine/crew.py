"""The callbacks of a training, called one after the other; what they do is done to the TrainState."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TypeAlias

from engine.callbacks import Action, Callback, Memory, Moment, Reaction
from engine.state import TrainState

Hook: TypeAlias = Callable[[Memory, Moment], Reaction]
"""A moment at which callbacks are called: a method of one of them."""


@dataclass(frozen=True, slots=True)
class Saving:
    """A model that a callback asks to be saved.

    Attributes:
        path: where to.
        weights_only: whether the weights are wanted without the model and the optimizer.
        state: the training as it stood; its arrays change with the next step.
    """

    path: str
    weights_only: bool
    state: TrainState


@dataclass(frozen=True, slots=True)
class Doings:
    """What the callbacks did.

    Attributes:
        state: after it.
        logs: of the epoch, with what they added.
        actions: in order.
        saved: models to be saved, in order.
    """

    state: TrainState
    logs: Mapping[str, float]
    actions: tuple[Action, ...] = ()
    saved: tuple[Saving, ...] = ()

    def after(self, position: int, reaction: Reaction) -> Doings:
        """Return what was done once one more callback has reacted."""
        memories = tuple(reaction.memory if at == position else kept for at, kept in enumerate(self.state.callbacks))
        state, saved = replace(self.state, callbacks=memories), self.saved
        for action in reaction.actions:
            if action.kind == "stop":
                state = replace(state, stopped=True)
            elif action.kind == "learning_rate":
                state = replace(state, learning_rate=action.data["learning_rate"])
            elif action.kind == "save":
                saved = (*saved, Saving(action.data["path"], action.data["weights_only"], state))
        return Doings(state, {**self.logs, **reaction.logs}, (*self.actions, *reaction.actions), saved)


@dataclass(frozen=True, slots=True)
class Crew:
    """The callbacks, in the order in which they are called."""

    callbacks: tuple[Callback, ...] = ()

    def initial(self) -> tuple[Memory, ...]:
        """Return what they remember before the first step."""
        return tuple(callback.initial() for callback in self.callbacks)

    def after_step(self, state: TrainState, moment: Moment) -> Doings:
        """Call each after a step."""
        return self._called(attrgetter("after_step"), state, moment)

    def after_epoch(self, state: TrainState, moment: Moment) -> Doings:
        """Call each at the end of an epoch."""
        return self._called(attrgetter("after_epoch"), state, moment)

    def _called(self, hook: Callable[[Callback], Hook], state: TrainState, moment: Moment) -> Doings:
        done = Doings(state, moment.logs)
        for position, callback in enumerate(self.callbacks):
            memory = done.state.callbacks[position]
            done = done.after(position, hook(callback)(memory, _now(moment, done)))
        return done

    def after_training(self, state: TrainState) -> tuple[TrainState, tuple[Action, ...]]:
        """Call each at the end of the training."""
        done: tuple[Action, ...] = ()
        for position, callback in enumerate(self.callbacks):
            kept = state.callbacks[position].arrays
            for action in callback.after_training(state.callbacks[position]):
                done = (*done, action)
                if action.kind == "restore":
                    state = replace(state, variables={path: kept[path].copy() for path in state.variables})
        return state, done

    @property
    def catches_nonfinite_loss(self) -> bool:
        """Whether one of them sees to a loss that is not finite."""
        return any(callback.catches_nonfinite_loss for callback in self.callbacks)


def _now(moment: Moment, done: Doings) -> Moment:
    """Return the moment as the callbacks before have left it."""
    rate = done.state.learning_rate
    if rate is not None:
        moment = replace(moment, learning_rate=float(moment.narrow(rate)))
    return replace(moment, logs=done.logs)
