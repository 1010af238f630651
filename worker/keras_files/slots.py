"""The variables of an optimizer in the order in which Keras 3 keeps and saves them.

SOURCE: `BaseOptimizer.build` and the optimizers' own `build` of Keras 3.15.1: the iteration, the learning rate unless
it follows a schedule, moving averages, accumulated gradients, then what the optimizer itself keeps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from engine.dtypes import DType
from engine.optimizers import AnyOptimizer, LossScaleOptimizer, Optimizer, averages, window
from engine.rounding import to_edge
from engine.schedules import Schedule
from engine.state import TrainState
from engine.tape import Array
from engine.weights import WeightSpec

OUTER, INNER = "optimizer", "optimizer/inner_optimizer"

_APART: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "Adam": (("momentum", "velocity"), ("velocity_hat",)),
        "AdamW": (("momentum", "velocity"), ("velocity_hat",)),
        "RMSprop": (("velocity",), ("momentum",), ("average_gradient",)),
    }
)
"""Slots that stand together, variable by variable, where not all of an optimizer's do."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A number that a state does not change: a constant learning rate, or what Keras keeps and never uses."""

    value: float
    kind: str
    shape: tuple[int, ...] = ()

    def read(self, _state: TrainState) -> Array:
        """Return the number."""
        return np.asarray(self.value, self.kind)

    def stored(self, state: TrainState, _value: Array) -> TrainState:
        """Return the state as it is."""
        return state


@dataclass(frozen=True, slots=True)
class Iterations:
    """The optimizer's counter of steps."""

    shape: tuple[int, ...] = ()

    def read(self, state: TrainState) -> Array:
        """Return the counter."""
        return np.asarray(state.iterations, np.int64)

    def stored(self, state: TrainState, value: Array) -> TrainState:
        """Return the state with a counter."""
        return replace(state, iterations=int(value))


@dataclass(frozen=True, slots=True)
class Scaling:
    """The loss scale, or the count of finite steps since it changed."""

    fact: str
    kind: str
    shape: tuple[int, ...] = ()

    def read(self, state: TrainState) -> Array:
        """Return the number."""
        return np.asarray(getattr(state.scaler, self.fact), self.kind)

    def stored(self, state: TrainState, value: Array) -> TrainState:
        """Return the state with the number."""
        return replace(state, scaler=replace(state.scaler, **{self.fact: value.astype(self.kind).item()}))


@dataclass(frozen=True, slots=True)
class Slot:
    """An array that the optimizer keeps, in the dtype of its variable."""

    key: str
    dtype: DType
    shape: tuple[int, ...]

    def read(self, state: TrainState) -> Array:
        """Return the array."""
        return to_edge(state.slots[self.key], self.dtype)

    def stored(self, state: TrainState, value: Array) -> TrainState:
        """Return the state, with the array written into its own."""
        np.copyto(state.slots[self.key], value.astype(self.dtype.storage))
        return state


Variable: TypeAlias = Fixed | Iterations | Scaling | Slot
"""One variable of an optimizer: how it is taken out of a state, and put into one."""


_MISSING = Fixed(0, "int32")


def variables_of(
    optimizer: AnyOptimizer, specs: Sequence[WeightSpec], slots: Mapping[str, Array]
) -> dict[str, tuple[str, tuple[Variable, ...]]]:
    """Return, by group, the name that Keras notes there and the variables.

    A loss-scaling optimizer repeats those of the inner one behind its own, but for what an optimizer makes without
    telling Keras: Nadam's product of momenta and Adafactor's missing means. Keras itself starts those anew.

    Args:
        optimizer: of Keras 3.
        specs: of the trainable variables.
        slots: the optimizer's arrays; only their shapes matter.
    """
    inner = optimizer.inner_optimizer
    if not isinstance(optimizer, LossScaleOptimizer):
        return {OUTER: (inner.name or "", (*_kept(inner, specs, slots), *_shared(inner, specs)))}
    own = tuple(item for item in _kept(inner, specs, slots) if item != _MISSING)
    # The wrapper's own iteration and learning rate stand still.
    scaling = (Fixed(0, "int64"), Fixed(0, "float32"), Scaling("counter", "int64"), Scaling("loss_scale", "float32"))
    return {OUTER: ("loss_scale_optimizer", (*scaling, *own)), INNER: (inner.name or "", own)}


def _kept(inner: Optimizer, specs: Sequence[WeightSpec], slots: Mapping[str, Array]) -> Iterator[Variable]:
    yield Iterations()
    if not isinstance(inner.learning_rate, Schedule):
        yield Fixed(inner.learning_rate, inner.conventions.floatx.name)
    for family in _families(inner):
        for spec in specs:
            for name in family:
                if spec.overwritten and name != window.SLOT:
                    continue
                shape = slots[f"{name}/{spec.path}"].shape
                # Adafactor keeps no means of vectors; Keras has the number 0 in their place.
                missing = shape == (0,) and spec.size > 0
                yield _MISSING if missing else Slot(f"{name}/{spec.path}", spec.dtype, shape)


def _shared(inner: Optimizer, specs: Sequence[WeightSpec]) -> Iterator[Variable]:
    for name, array in inner.shared_slots(specs).items():
        yield Slot(name, specs[0].dtype, array.shape)


def _families(inner: Optimizer) -> list[tuple[str, ...]]:
    there = inner.slot_names()
    whole = _APART.get(inner.class_name, (there,))
    shared = [(averages.SLOT,)] * inner.use_ema + [(window.SLOT,)] * bool(inner.gradient_accumulation_steps)
    return [*shared, *(tuple(name for name in family if name in there) for family in whole)]
