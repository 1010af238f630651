"""Small variables that are updated as one: their numbers lie one after another in memory.

What an update of a small variable costs is the calls of numpy, not the arithmetic: Adam takes a dozen of them. An
optimizer that treats every number by itself does not see where one variable ends and the next begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Protocol, Self

import numpy as np

from engine.dtypes import FLOAT32, DType
from engine.gradients import Gradients
from engine.optimizers import low_precision
from engine.optimizers.base import Optimizer
from engine.rounding import round_to
from engine.tape import Array
from engine.weights import WeightSpec

SMALL = 65536
"""Elements up to which a variable is joined to others."""

_JOINED = "*"
"""Path of the joined variable; those of layers have a slash."""


class Updater(Protocol):
    """What updates variables: an optimizer, or :class:`JoinedUpdates` with one inside."""

    def apply(
        self,
        iterations: int,
        specs: Sequence[WeightSpec],
        variables: Sequence[Array],
        gradients: Gradients,
        slots: Mapping[str, Array],
    ) -> None:
        """See :meth:`Optimizer.apply`."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stretches:
    """Arrays that lie one after another.

    Attributes:
        whole: all of them, flat.
        parts: each of them, in its shape.
    """

    whole: Array
    parts: tuple[Array, ...]

    @classmethod
    def of(cls, specs: Sequence[WeightSpec]) -> Self:
        """Return zeros of the shapes of variables, which are of one dtype."""
        ends = list(accumulate((spec.size for spec in specs), initial=0))
        whole = np.zeros(ends[-1], specs[0].dtype.storage)
        places = zip(pairwise(ends), specs, strict=True)
        return cls(whole, tuple(whole[start:stop].reshape(spec.shape) for (start, stop), spec in places))

    def take(self, arrays: Sequence[Array]) -> None:
        """Take over values; arrays that lie here already cost nothing."""
        for part, array in zip(self.parts, arrays, strict=True):
            if array is not part:
                np.copyto(part, array)

    def hold(self, arrays: Sequence[Array]) -> bool:
        """Return whether these arrays lie here."""
        return all(array is part for array, part in zip(arrays, self.parts, strict=True))


def _not_ready(dtype: DType) -> Mapping[str, Array]:
    return {}


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """Variables and slots, and what updates them.

    Attributes:
        variables: value of every variable by path.
        slots: of the optimizer.
        updater: an optimizer that is not wrapped, or one for just these.
        room: an array to write its gradient to, or None, for each trainable variable; for none of them by default.
        ready: by path, the variables on the grid of a dtype that are cheap to have; good until the next step.
    """

    variables: Mapping[str, Array]
    slots: Mapping[str, Array]
    updater: Updater
    room: Sequence[Array | None] = ()
    ready: Callable[[DType], Mapping[str, Array]] = _not_ready


class JoinedUpdates:
    """An optimizer, for a training whose small variables it updates as one. The numbers come out the same to the bit.

    Where that cannot be (a norm of each gradient is limited, a variable has a constraint, an update does not treat
    every number by itself), no variables are joined, and the optimizer is asked as ever.

    Args:
        optimizer: not wrapped.
        specs: of the trainable variables.
    """

    def __init__(self, optimizer: Optimizer, specs: Sequence[WeightSpec]) -> None:
        self._optimizer = optimizer
        self._members = _members(optimizer, specs)
        self._others = [index for index in range(len(specs)) if index not in self._members]
        self._joined = [specs[index] for index in self._members]
        self._specs = [specs[index] for index in self._others]
        self._room: Sequence[Array | None] = ()
        if self._members:
            self._gradients = _Stretches.of(self._joined)
            self._variables = _Stretches.of(self._joined)
            self._slots: Mapping[str, Array] = {}
            self._own: Mapping[str, Array] = {}
            self._narrow: dict[str, _Stretches] = {}  # by the name of their dtype
            self._specs.append(replace(self._joined[0], path=_JOINED, name=_JOINED, shape=self._gradients.whole.shape))
            rooms = dict(zip(self._members, self._gradients.parts, strict=True))
            self._room = tuple(rooms.get(index) for index in range(len(specs)))

    def settled(self, optimizer: Optimizer, variables: Mapping[str, Array], slots: Mapping[str, Array]) -> Settled:
        """Return variables and slots with the same values, but in places where they can be updated as one.

        What lies there already stays.

        Args:
            optimizer: of the next update; it may differ in its learning rate.
            variables: value of every variable by path.
            slots: of the optimizer.
        """
        self._optimizer = optimizer
        if not self._members:
            return Settled(variables, slots, optimizer)
        if slots is self._slots and self._variables.hold(self._of(variables)):
            return Settled(variables, slots, self, self._room, self._ready)
        self._variables = _Stretches.of(self._joined)
        self._variables.take(self._of(variables))
        kept: dict[str, Array] = dict(slots)
        own: dict[str, Array] = {}
        for slot in self._optimizer.kept_shapes(self._joined[0]):
            names = [f"{slot}/{spec.path}" for spec in self._joined]
            stretches = _Stretches.of(self._joined)
            stretches.take([slots[name] for name in names])
            kept |= dict(zip(names, stretches.parts, strict=True))
            own[f"{slot}/{_JOINED}"] = stretches.whole
        self._slots, self._own = kept, kept | own
        paths = [spec.path for spec in self._joined]
        moved = {**variables, **dict(zip(paths, self._variables.parts, strict=True))}
        return Settled(moved, kept, self, self._room, self._ready)

    def apply(
        self,
        iterations: int,
        specs: Sequence[WeightSpec],
        variables: Sequence[Array],
        gradients: Gradients,
        slots: Mapping[str, Array],
    ) -> None:
        """Do what :meth:`Optimizer.apply` does; at once for the small ones of variables and slots that are settled."""
        found = [gradients[index] for index in self._members]
        dense = [gradient for gradient in found if isinstance(gradient, np.ndarray)]
        settled = bool(found) and slots is self._slots
        if not settled or len(dense) < len(found) or not self._variables.hold([variables[i] for i in self._members]):
            self._optimizer.apply(iterations, specs, variables, gradients, slots)
            return
        self._gradients.take(dense)
        arrays = [*(variables[index] for index in self._others), self._variables.whole]
        by_array = [*(gradients[index] for index in self._others), self._gradients.whole]
        self._optimizer.apply(iterations, self._specs, arrays, by_array, self._own)

    def _ready(self, dtype: DType) -> Mapping[str, Array]:
        """Return the joined variables on the grid of a narrow dtype; all of them are rounded as one."""
        if not dtype.low_precision or self._joined[0].dtype is not FLOAT32:
            return {}
        if dtype.name not in self._narrow:
            self._narrow[dtype.name] = _Stretches.of(self._joined)
        narrow = self._narrow[dtype.name]
        round_to(self._variables.whole, dtype, out=narrow.whole)
        return dict(zip((spec.path for spec in self._joined), narrow.parts, strict=True))

    def _of(self, variables: Mapping[str, Array]) -> list[Array]:
        return [variables[spec.path] for spec in self._joined]


def _members(optimizer: Optimizer, specs: Sequence[WeightSpec]) -> list[int]:
    """Return which variables are updated as one: at least two, or none."""
    limited = optimizer.clipnorm is not None or optimizer.global_clipnorm is not None
    drawn = optimizer.update_rounding != low_precision.NEAREST
    if limited or drawn or not optimizer.elementwise or len({spec.dtype.name for spec in specs}) != 1:
        return []
    found = [
        index
        for index, spec in enumerate(specs)
        if spec.size <= SMALL and spec.constraint is None and not spec.overwritten
    ]
    return found if len(found) > 1 else []
