"""What can be seen of a training step: every tensor, with the layer, the op and the phase that made it.

An observer is passed to the loop (``Trainer(..., observer=...)``, ``Model.fit(..., observer=...)``). It is shown
tensors in the order in which they are computed, and can change nothing. Without one, nothing is asked anywhere: the
tape that ops run on is then another class (:mod:`engine.watching`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

import numpy as np

from engine.dtypes import DType
from engine.tape import Array

Phase: TypeAlias = Literal["forward", "loss", "backward", "unscale", "update"]
PHASES: tuple[Phase, ...] = ("forward", "loss", "backward", "unscale", "update")


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One tensor of one step.

    Names of tensors: "input" (data, and data cast to a compute dtype), "kernel" and other variables by their Keras
    names (as stored, then as read in the compute dtype; in the phase update as they are afterwards), "activation"
    (the output of a layer), "intermediate" (what led to it, or to the loss), "loss", "scaled_loss"; gradients are
    named after what they are gradients to: "kernel_gradient", "output_gradient" (to the output of a layer),
    "intermediate_gradient". In the phase update: "kernel_update" (what was added), and slots as "kernel_momentum".

    Attributes:
        step: of the training, from 1.
        phase: one of ``PHASES``.
        layer: name of the layer that owns the tensor, inner layers as "outer/inner"; "" in the loss.
        op: what computed it: the name of an op of the table, or "input", "variable", "sum" (of the gradients that
            reach a tensor on several ways), "unscale", "optimizer", "assign" (of moving statistics).
        tensor: its name, see above.
        dtype: on whose grid the values lie.
        values: the array, read-only, only good until ``see`` returns; of an embedding's gradient, the rows looked up.
        shadow: the values before they were rounded to the grid, computed from the same rounded inputs; of an update,
            what float64 arithmetic gives. ``values`` itself where nothing was rounded.
    """

    step: int
    phase: Phase
    layer: str
    op: str
    tensor: str
    dtype: DType
    values: Array
    shadow: Array

    def copied(self) -> Observation:
        """Return the observation with arrays of its own, which outlive the step."""
        return replace(self, values=self.values.copy(), shadow=self.shadow.copy())


class Observer(Protocol):
    """Who wants to see the tensors of training steps."""

    def wants(self, step: int) -> bool:
        """Whether to show the tensors of a step (from 1); the others run as fast as without an observer."""

    def see(self, observation: Observation) -> None:
        """Take in one tensor. The arrays are borrowed: copy what is to outlive the call."""


@dataclass(frozen=True, slots=True)
class NullObserver:
    """Sees nothing, so that nothing is shown."""

    def wants(self, step: int) -> bool:
        """No step."""
        return False

    def see(self, observation: Observation) -> None:
        """Nothing: it is never called."""


NOBODY = NullObserver()


@dataclass(slots=True)
class Recorder:
    """Keeps everything it sees.

    Attributes:
        first: the first step to look at.
        last: the last one.
        seen: what was seen, in order, with arrays of its own.
    """

    first: int = 1
    last: int = 2**62
    seen: list[Observation] = field(default_factory=list)

    def wants(self, step: int) -> bool:
        """The steps from ``first`` to ``last``."""
        return self.first <= step <= self.last

    def see(self, observation: Observation) -> None:
        """Keep a copy."""
        self.seen.append(observation.copied())

    def of(self, layer: str, tensor: str, phase: Phase | None = None) -> Iterator[Observation]:
        """Yield what was seen of a tensor, in order."""
        for found in self.seen:
            if found.layer == layer and found.tensor == tensor and phase in (None, found.phase):
                yield found


@dataclass(frozen=True, slots=True)
class View:
    """An observer in a step.

    Attributes:
        observer: who looks on.
        step: of the training, from 1.
    """

    observer: Observer
    step: int

    def show(
        self,
        phase: Phase,
        layer: str,
        op: str,
        tensor: str,
        dtype: DType,
        values: Array,
        shadow: Array | None = None,
    ) -> None:
        """Show one tensor."""
        seen = _closed(values)
        before = seen if shadow is None else _closed(shadow)
        self.observer.see(Observation(self.step, phase, layer, op, tensor, dtype, seen, before))


def _closed(array: Array) -> Array:
    """Return a view that cannot be written."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
