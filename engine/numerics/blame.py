"""What made a step not finite: its first tensor that is not, found by running the step again under an observer.

The step is run from the same variables and rows with the same random draws, so that it is the same step to the bit.
Nothing is written. Beside the tensor, two questions are answered: whether a smaller loss scale would have helped, and
whether the same step in float32 is not finite either.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from engine.compilation import Compilation
from engine.errors import EngineError
from engine.network import Network
from engine.numerics.wide_model import in_float32
from engine.observation import PHASES, Observation, Phase
from engine.optimizers.joined import Settled
from engine.rows import Rows
from engine.run import Noise
from engine.scaler import UNSCALED
from engine.step import Backward, backward, judge, norm_and_finiteness
from engine.tape import Array
from engine.watching import UNWATCHED, Watched
from engine.weights import WeightSpec

Reason: TypeAlias = Literal["nonfinite_weights", "nonfinite_forward", "nonfinite_loss", "nonfinite_gradient"]
REASONS: tuple[Reason, ...] = ("nonfinite_weights", "nonfinite_forward", "nonfinite_loss", "nonfinite_gradient")

LOWEST_SCALE = 2.0**-10
"""Keras 3's loss scale has no floor: a step that is finite here would be so after some more skipped steps."""

_REASON_OF: Mapping[Phase, Reason] = {
    "forward": "nonfinite_forward",
    "loss": "nonfinite_loss",
    "backward": "nonfinite_gradient",
    "unscale": "nonfinite_gradient",
}
_BY_ROWS = frozenset({"input", "activation", "intermediate", "output_gradient", "intermediate_gradient"})
"""Names of tensors whose first axis may be the batch."""


@dataclass(frozen=True, slots=True)
class FirstBad:
    """The first tensor of a step that is not finite, in the order of computation, and its first such entry.

    Attributes:
        layer: whose tensor it is; "" in the loss.
        op: what computed it.
        phase: of the step.
        tensor: its name, see :class:`engine.observation.Observation`.
        dtype: on whose grid it lies.
        value: of the entry: nan or an infinity.
        shadow: the same before it was rounded to the dtype; not finite where rounding is not to blame.
        index: of the entry.
        count: how many entries are not finite.
        size: how many there are.
        largest_shadow: the largest finite one among the entries that are not finite, by magnitude; None: none is.
        row: of the batch, from 0, where the first axis is the batch.
        sample: of the training data, from 0, that this row is.
    """

    layer: str
    op: str
    phase: Phase
    tensor: str
    dtype: str
    value: float
    shadow: float
    index: tuple[int, ...]
    count: int
    size: int
    largest_shadow: float | None
    row: int | None = None
    sample: int | None = None


@dataclass(frozen=True, slots=True)
class Blame:
    """Why a step was not finite.

    Attributes:
        reason: where the first fault lies that matters.
        first_bad: the tensor; None where none was seen.
        float32_too: whether the step is not finite in float32 either, from the same weights and rows; None: the model
            cannot be built in float32.
        any_scale_helps: whether the gradients are finite at a smaller loss scale.
    """

    reason: Reason
    first_bad: FirstBad | None
    float32_too: bool | None
    any_scale_helps: bool


@dataclass(frozen=True, slots=True, eq=False)
class Suspect:
    """A step that was not finite, as it began.

    Attributes:
        settled: variables before the update.
        batch: its rows.
        samples: numbers of these rows in the training data.
        loss_scale: that it used.
        noise: where its random layers drew from.
        finite: whether its gradients were.
    """

    settled: Settled
    batch: Rows
    samples: Array
    loss_scale: float
    noise: Noise
    finite: bool


class Finder:
    """An observer that notes, for each phase, the first tensor that is not finite.

    Args:
        rows: of the batch.
        ignored: layer and name of variables that are none of the step's business.
    """

    def __init__(self, rows: int, ignored: Collection[tuple[str, str]]) -> None:
        self.found: dict[Phase, FirstBad] = {}
        self._rows, self._ignored = rows, ignored

    def wants(self, step: int) -> bool:
        """Every step."""
        return True

    def see(self, observation: Observation) -> None:
        """Look whether every entry is finite. No gradient comes from the value of the scaled loss, so that may be."""
        seen = observation
        if seen.phase in self.found or seen.tensor == "scaled_loss" or (seen.layer, seen.tensor) in self._ignored:
            return
        if not np.isfinite(seen.values).all():
            self.found[seen.phase] = self._noted(seen)

    def _noted(self, seen: Observation) -> FirstBad:
        values = np.asarray(seen.values)
        bad = ~np.isfinite(values)
        place = tuple(int(axis) for axis in np.unravel_index(int(np.flatnonzero(bad)[0]), values.shape))
        shadows = np.broadcast_to(seen.shadow, values.shape)
        finite = shadows[bad & np.isfinite(shadows)]
        by_row = seen.tensor in _BY_ROWS and values.ndim > 0 and len(values) == self._rows
        return FirstBad(
            layer=seen.layer,
            op=seen.op,
            phase=seen.phase,
            tensor=seen.tensor,
            dtype=seen.dtype.name,
            value=float(values[place]),
            shadow=float(shadows[place]),
            index=place,
            count=int(bad.sum()),
            size=values.size,
            largest_shadow=float(finite[np.abs(finite).argmax()]) if finite.size else None,
            row=place[0] if by_row else None,
        )


class Blamer:
    """Finds out why steps of one training were not finite.

    Args:
        network: the model.
        compilation: its losses and loss scale.
    """

    def __init__(self, network: Network, compilation: Compilation) -> None:
        self._network, self._compilation = network, compilation
        self._ignored = {(spec.layer, spec.name) for spec in network.weight_specs if not spec.trainable}

    def blame(self, suspect: Suspect) -> Blame:
        """Return why a step was not finite; it is run again up to four times."""
        with np.errstate(all="ignore"):
            finder = Finder(len(suspect.batch), self._ignored)
            seen = self._seen(suspect, finder)
            helps = suspect.finite or self._helped(suspect)
            wide = self._in_float32(suspect)
        bad = _first(finder.found, suspect, seen, helps=helps)
        if bad is not None and bad.row is not None:
            bad = replace(bad, sample=int(suspect.samples[bad.row]))
        if _lost(self._network.trainable_specs, suspect.settled.variables):
            return Blame("nonfinite_weights", bad, wide, any_scale_helps=False)
        if suspect.finite:
            return Blame(reason_at_a_glance(seen, finite=True), bad, wide, any_scale_helps=False)
        return Blame("nonfinite_gradient" if bad is None else _REASON_OF[bad.phase], bad, wide, helps)

    def _seen(self, suspect: Suspect, finder: Finder) -> Backward:
        watch = Watched(finder, suspect.noise.step)
        settled = Settled(suspect.settled.variables, suspect.settled.slots, suspect.settled.updater)
        model = (self._network, self._compilation)
        done = backward(*model, settled, suspect.batch, suspect.loss_scale, suspect.noise, watch)
        judge(*model, settled, done.gradients, suspect.loss_scale, watch)
        return done

    def _helped(self, suspect: Suspect) -> bool:
        """Whether the gradients are finite at a smaller loss scale that the rule can reach, or a user can ask for."""
        if self._compilation.rule == UNSCALED:
            return False
        scales = (1.0, LOWEST_SCALE) if self._network.conventions.keras3 else (1.0,)
        # A scale of 0 or nan divides what it should not: every other one is smaller in that sense.
        lower = [scale for scale in scales if not suspect.loss_scale <= scale or suspect.loss_scale == 0]
        return any(self._finite_at(suspect, scale) for scale in lower)

    def _finite_at(self, suspect: Suspect, scale: float) -> bool:
        settled = Settled(suspect.settled.variables, suspect.settled.slots, suspect.settled.updater)
        model = (self._network, self._compilation)
        done = backward(*model, settled, suspect.batch, scale, suspect.noise, UNWATCHED)
        return judge(*model, settled, done.gradients, scale).finite

    @cached_property
    def _wide(self) -> Network | None:
        try:
            return in_float32(self._network)
        except EngineError:
            return None

    def _in_float32(self, suspect: Suspect) -> bool | None:
        wide = self._wide
        if wide is None:
            return None
        variables = {
            spec.path: suspect.settled.variables[spec.path].astype(spec.dtype.storage) for spec in wide.weight_specs
        }
        settled = Settled(variables, suspect.settled.slots, suspect.settled.updater)
        done = backward(wide, self._compilation, settled, suspect.batch, 1.0, suspect.noise)
        if suspect.finite:
            return not math.isfinite(float(done.loss.data))
        return not norm_and_finiteness(done.gradients)[1]


def _first(found: Mapping[Phase, FirstBad], suspect: Suspect, seen: Backward, *, helps: bool) -> FirstBad | None:
    """Return the first tensor that is not finite and matters.

    Infinities that a model means (a mask of -inf) stand in the forward pass of healthy steps too. So where a smaller
    scale makes the gradients finite, the fault lies in the backward pass; where they are finite anyhow, in the loss,
    unless the loss was not finite before its own rounding: then it came from a layer (an output, a penalty).
    """
    phases: tuple[Phase, ...] = PHASES
    if suspect.finite:
        outputs = all(bool(np.isfinite(output.data).all()) for output in seen.predictions)
        own = "loss" in found and math.isfinite(found["loss"].shadow)
        phases = ("loss",) if outputs and own else ("forward", "loss")
    elif helps:
        phases = ("backward", "unscale")
    return next((found[phase] for phase in phases if phase in found), None)


@dataclass(frozen=True, slots=True)
class LostWeight:
    """A trainable variable that is not finite.

    Attributes:
        layer: whose it is.
        name: of the variable.
        count: entries that are not finite, of this variable.
        size: entries of this variable.
        others: further trainable variables that are not finite.
    """

    layer: str
    name: str
    count: int
    size: int
    others: int


def _lost(specs: tuple[WeightSpec, ...], variables: Mapping[str, Array]) -> list[WeightSpec]:
    return [spec for spec in specs if not np.isfinite(variables[spec.path]).all()]


def lost_weight(specs: tuple[WeightSpec, ...], variables: Mapping[str, Array]) -> LostWeight | None:
    """Return the first of these variables that is not finite; None if all are."""
    lost = _lost(specs, variables)
    if not lost:
        return None
    values = variables[lost[0].path]
    count = int(np.count_nonzero(~np.isfinite(values)))
    return LostWeight(lost[0].layer, lost[0].name, count, values.size, len(lost) - 1)


def reason_at_a_glance(done: Backward, *, finite: bool) -> Reason:
    """Return why a step was not finite without running it again: from its outputs, its loss and its gradients."""
    if not all(bool(np.isfinite(output.data).all()) for output in done.predictions):
        return "nonfinite_forward"
    if finite or math.isnan(float(done.loss.data)):
        return "nonfinite_loss"
    return "nonfinite_gradient"
