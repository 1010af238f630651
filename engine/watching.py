"""How a step is run when somebody looks on, and when nobody does: :class:`Unwatched` is the null object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from engine.conventions import Conventions
from engine.dtypes import FLOAT64
from engine.gradients import Gradients, mapped, values_of
from engine.observation import NOBODY, Observer, View
from engine.optimizers.joined import Settled, Updater
from engine.run import Noise, Run
from engine.settled_run import SettledRun
from engine.tape import Array
from engine.watched_tape import WatchedRun, WatchedTape
from engine.weights import WeightSpec


class Watch(Protocol):
    """What a training loop asks for: where to run a step, and how to update."""

    def at(self, step: int) -> Watch:
        """Return the watch of a step."""

    def run(self, specs: Sequence[WeightSpec], settled: Settled, conventions: Conventions, noise: Noise) -> Run:
        """Return a training run, whose variables are on an empty tape."""

    def unscaled(self, specs: Sequence[WeightSpec], scaled: Gradients, gradients: Gradients, scale: float) -> None:
        """Look at gradients from which the loss scale has been taken."""

    def update(
        self,
        optimizer: Updater,
        iterations: int,
        specs: Sequence[WeightSpec],
        variables: Sequence[Array],
        gradients: Gradients,
        slots: Mapping[str, Array],
    ) -> None:
        """Do what ``optimizer.apply`` does."""


@dataclass(frozen=True, slots=True)
class Unwatched:
    """Nobody looks on."""

    def at(self, step: int) -> Watch:
        """Return itself."""
        return self

    def run(self, specs: Sequence[WeightSpec], settled: Settled, conventions: Conventions, noise: Noise) -> Run:
        """Return the fastest one."""
        return SettledRun(specs, settled, conventions, noise)

    def unscaled(self, specs: Sequence[WeightSpec], scaled: Gradients, gradients: Gradients, scale: float) -> None:
        """Look away."""

    def update(
        self,
        optimizer: Updater,
        iterations: int,
        specs: Sequence[WeightSpec],
        variables: Sequence[Array],
        gradients: Gradients,
        slots: Mapping[str, Array],
    ) -> None:
        """Update."""
        optimizer.apply(iterations, specs, variables, gradients, slots)


UNWATCHED = Unwatched()


def watching(observer: Observer) -> Watch:
    """Return how to run steps for an observer."""
    return UNWATCHED if observer is NOBODY else Watched(observer)


@dataclass(frozen=True, slots=True)
class Watched:
    """Shows an observer the steps that it wants.

    Attributes:
        observer: who looks on.
        step: of the training, from 1.
    """

    observer: Observer
    step: int = 0

    def at(self, step: int) -> Watch:
        """Return the watch of a step."""
        return replace(self, step=step) if self.observer.wants(step) else UNWATCHED

    def run(self, specs: Sequence[WeightSpec], settled: Settled, conventions: Conventions, noise: Noise) -> Run:
        """Return one that shows."""
        tape = WatchedTape(View(self.observer, self.step))
        return WatchedRun(specs, settled.variables, tape, conventions, noise)

    def unscaled(self, specs: Sequence[WeightSpec], scaled: Gradients, gradients: Gradients, scale: float) -> None:
        """Show the gradients without the loss scale."""
        view = View(self.observer, self.step)
        for spec, before, gradient in zip(specs, scaled, gradients, strict=True):
            if gradient is None or before is None or spec.overwritten:
                continue
            shadow = values_of(before) / np.asarray(scale, spec.dtype.storage)
            name = f"{spec.name}_gradient"
            view.show("unscale", spec.layer, "unscale", name, spec.dtype, values_of(gradient), shadow)

    def update(
        self,
        optimizer: Updater,
        iterations: int,
        specs: Sequence[WeightSpec],
        variables: Sequence[Array],
        gradients: Gradients,
        slots: Mapping[str, Array],
    ) -> None:
        """Update, and show what changed beside what float64 would have changed."""
        view = View(self.observer, self.step)
        before = [variable.copy() for variable in variables]
        exact = _in_float64(optimizer, iterations, specs, variables, gradients, slots)
        optimizer.apply(iterations, specs, variables, gradients, slots)
        for spec, old, variable, wanted in zip(specs, before, variables, exact.variables, strict=True):
            layer, name, dtype = spec.layer, spec.name, spec.dtype
            change = wanted - old
            view.show("update", layer, "optimizer", f"{name}_update", dtype, variable - old, change)
            view.show("update", layer, "optimizer", name, dtype, variable, wanted)
            for key, array in slots.items():
                slot, _, path = key.partition("/")
                if path == spec.path:
                    view.show("update", layer, "optimizer", f"{name}_{slot}", dtype, array, exact.slots[key])


@dataclass(frozen=True, slots=True)
class _Updated:
    variables: list[Array]
    slots: dict[str, Array]


def _in_float64(
    optimizer: Updater,
    iterations: int,
    specs: Sequence[WeightSpec],
    variables: Sequence[Array],
    gradients: Gradients,
    slots: Mapping[str, Array],
) -> _Updated:
    """Return what the same update makes in float64 of copies."""
    wide = [replace(spec, dtype=FLOAT64) for spec in specs]
    exact = _Updated([_float64(v) for v in variables], {key: _float64(array) for key, array in slots.items()})
    copies = [None if gradient is None else mapped(_float64, gradient) for gradient in gradients]
    optimizer.apply(iterations, wide, exact.variables, copies, exact.slots)
    return exact


def _float64(array: Array) -> Array:
    return array.astype(np.float64)
