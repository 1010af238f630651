"""Callbacks that save the model. Source: ``keras.src.callbacks.model_checkpoint`` of Keras 3.15."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.callbacks.base import Action, Memory, Moment, Reaction, Surroundings
from engine.callbacks.monitoring import Monitor
from engine.configured import any_number, boolean, optional, refuse, setting
from engine.errors import InvalidValue

WEIGHTS, MODEL = ".weights.h5", ".keras"
_SPEC = re.compile(r"0?\d{0,2}(\.\d{1,2})?[defgEFG%]?")
"""What may stand behind the colon of a placeholder; wider ones would make endless names."""


def _frequency(key: str, value: Any) -> int | str:
    if value == "epoch":
        return "epoch"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        text = f"Unrecognized save_freq: {value}. Expected save_freq are 'epoch' or integer values"
        raise InvalidValue(text)
    return value


def _path(key: str, value: Any) -> str:
    """Read a path whose placeholders are plain names: attributes and items of values are nobody's business."""
    if not isinstance(value, str) or not value:
        raise refuse(key, "a path", value)
    try:
        parts = list(string.Formatter().parse(value))
    except ValueError as error:
        raise InvalidValue(f"`{key}` is no template of a path: {error}. Received: {value!r}.") from None
    for _, name, spec, conversion in parts:
        if name is not None and (
            not re.fullmatch(r"\w+(/\d+)?", name) or conversion or not _SPEC.fullmatch(spec or "")
        ):
            text = f"`{key}` may have placeholders such as {{epoch:02d}} and {{val_loss:.2f}}. Received: {value!r}."
            raise InvalidValue(text)
    return value


@dataclass(frozen=True, kw_only=True)
class ModelCheckpoint(Monitor):
    """Saves the model, or its weights. Source: ``keras.callbacks.ModelCheckpoint``.

    Attributes:
        filepath: where to; may have placeholders for the epoch, the batch and the names in the logs.
        save_best_only: whether only what is better than all before is saved.
        save_weights_only: whether weights are saved without the model and the optimizer.
        save_freq: "epoch", or every so many steps.
        initial_value_threshold: the best number before the first one.
    """

    filepath: str = setting(_path)
    save_best_only: bool = setting(boolean, False)
    save_weights_only: bool = setting(boolean, False)
    save_freq: int | str = setting(_frequency, "epoch")
    initial_value_threshold: float | None = setting(optional(any_number), None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.save_weights_only and not self.filepath.endswith(WEIGHTS):
            text = (
                "When using `save_weights_only=True` in `ModelCheckpoint`, the filepath provided must end in "
                f"`.weights.h5` (Keras weights format). Received: filepath={self.filepath}"
            )
            raise InvalidValue(text, path=("filepath",))
        if not self.save_weights_only and not self.filepath.endswith(MODEL):
            text = (
                f"The filepath provided must end in `.keras` (Keras model format). Received: filepath={self.filepath}"
            )
            raise InvalidValue(text, path=("filepath",))

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names that the path is filled in with."""
        return tuple(name for _, name, _, _ in string.Formatter().parse(self.filepath) if name is not None)

    def check(self, surroundings: Surroundings) -> None:
        """Check that the path can be filled in.

        Raises:
            InvalidValue: a placeholder that the logs will not have, or that its format does not fit.
        """
        if self.save_best_only:
            super().check(surroundings)
        by_step = self.save_freq != "epoch"
        numbers = {name: 0.5 for name in surroundings.names if not (by_step and name.startswith("val_"))}
        try:
            self.filled_in({**numbers, "epoch": 1, **({"batch": 1} if by_step else {})})
        except (KeyError, ValueError) as error:
            text = (
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}. '
                f"There are: epoch, {'batch, ' if by_step else ''}{', '.join(numbers)}."
            )
            raise InvalidValue(text, path=("filepath",)) from None

    def filled_in(self, values: Mapping[str, Any]) -> str:
        """Return the path for some logs, "epoch" and, after a step, "batch"."""
        return self.filepath.format(**values)

    def initial(self) -> Memory:
        """Return what it remembers before the first step."""
        return Memory({"best": self.initial_value_threshold, "seen": 0})

    def after_step(self, memory: Memory, moment: Moment) -> Reaction:
        """Save every so many steps."""
        if self.save_freq == "epoch":
            return Reaction(memory)
        seen = int(memory.numbers["seen"] or 0) + 1
        if seen < int(self.save_freq):
            return Reaction(memory.with_numbers(seen=seen))
        return self._saved(memory.with_numbers(seen=0), moment)

    def after_epoch(self, memory: Memory, moment: Moment) -> Reaction:
        """Save at the end of an epoch."""
        return self._saved(memory, moment) if self.save_freq == "epoch" else Reaction(memory)

    def _saved(self, memory: Memory, moment: Moment) -> Reaction:
        current = moment.logs.get(self.monitor)
        why = ""
        # Keras saves, with a warning, where the number that it is to compare is missing.
        if self.save_best_only and current is not None:
            best = memory.numbers["best"]
            if not self.improves(moment, current, best):
                return Reaction(memory)
            memory = memory.with_numbers(best=current)
            why = f": {self.monitor} is {current:.5g}, after {'nothing' if best is None else f'{best:.5g}'}"
        place = {"epoch": moment.epoch + 1} | ({} if moment.batch is None else {"batch": moment.batch + 1})
        path = self.filled_in({**moment.logs, **place})
        data = {"path": path, "weights_only": self.save_weights_only, **place}
        text = f"The model of epoch {moment.epoch + 1} is saved as {path}{why}."
        return Reaction(memory, (Action(self.class_name, "save", text, data),))
