"""Everything about a training that changes: one record, which checkpoints whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from engine.callbacks.base import Memory
from engine.errors import InvalidValue
from engine.scaler import ScalerState
from engine.tape import Array

_VARIABLES, _SLOTS, _TRACKED, _CALLBACKS = "weights/", "optimizer/", "metrics/", "callbacks/"


@dataclass(frozen=True, slots=True)
class TrainState:
    """A training between two steps. Resuming from it is bit-identical to never having stopped.

    Randomness needs no state: shuffles, dropout and initial values are functions of (seed, epoch or step).

    Attributes:
        seed: of the job.
        variables: path -> value on the grid of its dtype, in the storage dtype.
        slots: "slot/path" -> optimizer state.
        tracked: "loss" -> (total, count), and "<metric>/<variable>" -> what it counted, since the epoch began.
        scaler: the loss scale and its counters.
        iterations: of the optimizer.
        step: steps done, skipped ones included.
        epoch: epochs done.
        batch: steps done in this epoch.
        skipped: steps skipped so far.
        skipped_in_a_row: steps skipped since the last applied one.
        nonfinite: steps so far whose loss or gradients were not finite, applied or not.
        history: logs of each finished epoch.
        learning_rate: that a callback set in place of the optimizer's; None before one did.
        stopped: whether a callback asked to stop; the epoch is ended first.
        callbacks: what each callback remembers, in their order.
    """

    seed: int
    variables: Mapping[str, Array]
    slots: Mapping[str, Array]
    tracked: Mapping[str, Array]
    scaler: ScalerState
    iterations: int = 0
    step: int = 0
    epoch: int = 0
    batch: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    nonfinite: int = 0
    history: tuple[Mapping[str, float], ...] = field(default=())
    learning_rate: float | None = None
    stopped: bool = False
    callbacks: tuple[Memory, ...] = ()

    def to_parts(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return (arrays by prefixed name, everything else as JSON values); numbers survive exactly."""
        families = ((_VARIABLES, self.variables), (_SLOTS, self.slots), (_TRACKED, self.tracked))
        arrays = {prefix + name: array for prefix, family in families for name, array in family.items()}
        for index, memory in enumerate(self.callbacks):
            arrays |= {f"{_CALLBACKS}{index}/{path}": array for path, array in memory.arrays.items()}
        counters = {name: getattr(self, name) for name in (*_COUNTERS, "nonfinite")}
        scaler = {key: _written(value) for key, value in dataclasses.asdict(self.scaler).items()}
        history = [{key: _written(value) for key, value in logs.items()} for logs in self.history]
        memories = [{key: _written(value) for key, value in memory.numbers.items()} for memory in self.callbacks]
        called = {"learning_rate": self.learning_rate, "stopped": self.stopped, "callbacks": memories}
        return arrays, {**counters, "scaler": scaler, "history": history, **called}

    @classmethod
    def from_parts(cls, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> Self:
        """Return the state that :meth:`to_parts` took apart.

        Raises:
            InvalidValue: a part is missing or of another kind.
        """
        families: dict[str, dict[str, Array]] = {_VARIABLES: {}, _SLOTS: {}, _TRACKED: {}, _CALLBACKS: {}}
        for name, array in arrays.items():
            prefix, _, rest = name.partition("/")
            family = families.get(f"{prefix}/")
            if family is None:
                raise InvalidValue(f"A checkpoint has no place for an array named {name!r}.", code="bad_checkpoint")
            family[rest] = array
        try:
            counters: Any = {name: int(meta[name]) for name in _COUNTERS}
            counters["nonfinite"] = int(meta.get("nonfinite", counters["skipped"]))  # older checkpoints have none
            scaler = ScalerState(**{key: _read(value) for key, value in meta["scaler"].items()})
            history = tuple({key: _read(value) for key, value in logs.items()} for logs in meta["history"])
            # A checkpoint that was written before there were callbacks has none of these.
            rate = meta.get("learning_rate")
            rate = None if rate is None else float(rate)
            memories = _memories(meta.get("callbacks", ()), families[_CALLBACKS])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InvalidValue(f"The checkpoint's record is damaged: {error}.", code="bad_checkpoint") from error
        return cls(
            variables=families[_VARIABLES],
            slots=families[_SLOTS],
            tracked=families[_TRACKED],
            scaler=scaler,
            history=history,
            learning_rate=rate,
            stopped=bool(meta.get("stopped", False)),
            callbacks=memories,
            **counters,
        )


def _memories(numbers: Any, arrays: Mapping[str, Array]) -> tuple[Memory, ...]:
    """Return what callbacks remember; the arrays of the n-th one have names that begin with "n/"."""
    kept: list[dict[str, Array]] = [{} for _ in numbers]
    for name, array in arrays.items():
        index, _, path = name.partition("/")
        kept[int(index)][path] = array
    read = [{key: _read(value) for key, value in entry.items()} for entry in numbers]
    return tuple(Memory(*parts) for parts in zip(read, kept, strict=True))


_COUNTERS = ("seed", "iterations", "step", "epoch", "batch", "skipped", "skipped_in_a_row")
_WORDS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def _written(value: Any) -> Any:
    """Return a number as JSON can hold it: nan and infinities as words."""
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else str(float(value))
    return value


def _read(value: Any) -> Any:
    return _WORDS[value] if isinstance(value, str) else value
