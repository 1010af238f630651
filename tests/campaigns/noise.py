"""What rounding alone does to a step: the step repeated with numbers changed by one unit in the last place.

Sums in another order, and optimizers that divide by the size of a gradient, make differences of any size of rounding.
A difference within what the nudges show is rounding; one beyond it is real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from engine.conventions import Conventions
from engine.layers import Layer
from engine.optimizers.joined import Settled
from engine.run import Noise
from engine.settled_run import SettledRun
from engine.tape import Tensor, rounded
from engine.watching import Unwatched
from engine.weights import WeightSpec
from tests.campaigns.recording import packed, unpacked

NUDGES = (1,) * 8 + (4,) * 8
"""Units in the last place of each: rounding inside a layer is that of many numbers."""
ALLOWED = 4.0
"""Times what they show, by the units of one."""
UNITS = MappingProxyType({"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7})
"""In the last place, of numbers from 1 to 2."""
Case: TypeAlias = dict[str, Any]


def widest_unit(layers: Iterable[Layer]) -> float:
    """Return the unit in the last place of the layers that compute in the fewest digits."""
    return max(UNITS.get(layer.policy.compute.name, 0.0) for layer in layers)


def _moved(array: Any, unit: float, rng: np.random.Generator) -> Any:
    return array * (1 + unit * rng.integers(-1, 2, array.shape))


def nudged(case: Case, unit: float, rng: np.random.Generator) -> Case:
    """Return a case whose weights and inputs are a unit off, up, down or not at all."""

    def moved(written: Any) -> Any:
        array = unpacked(written)
        return packed(_moved(array.astype(np.float64), unit, rng)) if array.dtype.kind == "f" else written

    return {**case, **{key: [moved(one) for one in case[key]] for key in ("weights", "x")}}


class NudgedRun(SettledRun):
    """A run in which what layers give is a unit in the last place off."""

    rng = np.random.default_rng(0)
    units = 1

    def leave(self, output: Any) -> None:
        """Nudge an output."""
        for one in output if isinstance(output, list | tuple) else [output]:
            if isinstance(one, Tensor) and one.dtype.is_floating:
                moved = _moved(one.data.astype(np.float64), self.units * UNITS[one.dtype.name], self.rng)
                one.data = rounded(moved.astype(one.data.dtype), one.dtype)


@dataclass(frozen=True, slots=True)
class Nudging(Unwatched):
    """Makes steps of nudged runs."""

    rng: np.random.Generator
    units: int

    def at(self, step: int) -> Nudging:
        """Return itself."""
        return self

    def run(self, specs: Sequence[WeightSpec], settled: Settled, conventions: Conventions, noise: Noise) -> NudgedRun:
        """Return a run that nudges."""
        run = NudgedRun(specs, settled, conventions, noise)
        run.rng, run.units = self.rng, self.units
        return run


class Nudges:
    """The steps of nudged cases, done when they are first asked for.

    Args:
        case: as it is.
        unit: in the last place.
        step: does the step of a case under a watch.
    """

    def __init__(self, case: Case, unit: float, step: Callable[[Case, Nudging], Any]) -> None:
        self._case, self._unit, self._step = case, unit, step

    @cached_property
    def steps(self) -> list[Any]:
        """What each nudge comes to."""
        return [self._nudged(np.random.default_rng([seed, 11]), units) for seed, units in enumerate(NUDGES)]

    def _nudged(self, rng: np.random.Generator, units: int) -> Any:
        return self._step(nudged(self._case, units * self._unit, rng), Nudging(rng, units))

    def beyond(self, read: Callable[[Any], Any], ours: Any, real: Any) -> float:
        """Return how far two arrays are apart beyond what the nudges show, by the size of the real one.

        Args:
            read: returns the array of a step.
            ours: the array of the step as it is.
            real: that of the library.
        """
        mine, theirs = np.asarray(ours, np.float64), np.asarray(real, np.float64)
        if mine.shape != theirs.shape:
            return np.inf
        same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
        apart = np.where(same, 0.0, _unless_nan(mine - theirs))
        shown = [
            ALLOWED / units * _unless_nan(np.asarray(read(one), np.float64) - mine)
            for one, units in zip(self.steps, NUDGES, strict=True)
        ]
        noise = np.max(shown, axis=0)
        rest = np.where(apart <= noise, 0.0, apart - np.where(np.isfinite(noise), noise, 0.0))
        size = float(np.linalg.norm(theirs[np.isfinite(theirs)]))
        return float(np.linalg.norm(rest)) / size if rest.any() and size else float(np.linalg.norm(rest))


def _unless_nan(difference: Any) -> Any:
    """Return magnitudes; what is not a number is as far as can be."""
    return np.where(np.isnan(difference), np.inf, np.abs(difference))
