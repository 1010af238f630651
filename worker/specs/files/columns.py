"""Which columns or arrays of a file are inputs, and which are labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from worker.specs.errors import FieldError, SpecError, pointer_to
from worker.specs.files.content import Content
from worker.specs.samples import Arrays, Columns, Samples, check_lengths
from worker.specs.wording import did_you_mean, listed, shown

INPUTS = "x"
_DEFAULTS: Mapping[str, str] = MappingProxyType({"x": "inputs", "y": "labels"})


Names: TypeAlias = str | Sequence[str]
Choice: TypeAlias = Names | Mapping[str, Names] | None
"""Of one input or output a name, or several whose columns are put beside each other; of several a dict of those."""


def choose(content: Content, x: Choice, y: Choice, sample_weight: Choice = None) -> Samples:
    """Return inputs, labels and weights.

    Args:
        content: of the file.
        x: of the inputs; None for the default.
        y: likewise.
        sample_weight: likewise; None for none.

    Raises:
        SpecError: a name that is not there, or columns that do not go together; pointers into `/data`.
    """
    guessed = False
    if y is None:
        y, guessed = _usual_labels(content)
    taken = [*_names(y), *_names(sample_weight)]
    x = x if x is not None else _usual_inputs(content, taken)
    weights = None if sample_weight is None else _arrays(content, "sample_weight", sample_weight, _as_inputs)
    columns = Columns({**_by_place("x", x), **_by_place("y", y)}, guessed)
    samples = Samples(_arrays(content, "x", x, _as_inputs), _arrays(content, "y", y, _as_labels), weights, columns)
    check_lengths(samples)
    return samples


def _by_place(key: str, choice: Names | Mapping[str, Names]) -> dict[tuple[str, ...], tuple[str, ...]]:
    if isinstance(choice, Mapping):
        return {(key, name): tuple(_names(item)) for name, item in choice.items()}
    return {(key,): tuple(_names(choice))}


def _names(choice: Choice) -> list[str]:
    """Return every name in a choice."""
    if choice is None or isinstance(choice, str):
        return [] if choice is None else [choice]
    inside = choice.values() if isinstance(choice, Mapping) else choice
    return [name for item in inside for name in _names(item)]


def _arrays(
    content: Content, key: str, choice: Names | Mapping[str, Names], made: Callable[[NDArray[Any]], NDArray[Any]]
) -> Arrays:
    if not isinstance(choice, Mapping):
        return made(_Choice(content, (key,), choice).array())
    return {name: made(_Choice(content, (key, name), item).array()) for name, item in choice.items()}


def _usual_labels(content: Content) -> tuple[str, bool]:
    if content.labels is None:
        raise _unclear(content, "y")
    return content.labels


def _usual_inputs(content: Content, labels: Sequence[str]) -> str | Sequence[str]:
    rest = [name for name in content.names if name not in labels]
    named = [name for name in rest if name.lower() == INPUTS]
    if named and (not content.tabular or _is_wide(content, named[0])):
        return named[0]
    if content.tabular and rest:
        return rest[0] if len(rest) == 1 and _is_wide(content, rest[0]) else rest
    raise _unclear(content, "x")


def _is_wide(content: Content, name: str) -> bool:
    return name in content.arrays and content.arrays[name].ndim > 1


def _unclear(content: Content, key: str) -> SpecError:
    text = (
        f"The file has {listed(content.names)}, and none that {_DEFAULTS[key]} go by; say which in `data.{key}`, "
        f'such as {{"{key}": "{content.names[0]}"}}.'
    )
    return _refused((key,), text, "missing_column")


@dataclass(frozen=True)
class _Choice:
    """What was chosen for a place in `data`: one name, or several."""

    content: Content
    place: tuple[str, ...]
    chosen: str | Sequence[str]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.chosen,) if isinstance(self.chosen, str) else tuple(self.chosen)

    def array(self) -> NDArray[Any]:
        """Return the one array, or the columns beside each other."""
        for index, name in enumerate(self.names):
            self._check(name, () if isinstance(self.chosen, str) else (index,))
        arrays = [self.content.arrays[name] for name in self.names]
        if isinstance(self.chosen, str):
            return arrays[0]
        lengths = {len(array) for array in arrays}
        wide = next((name for name, array in zip(self.names, arrays, strict=True) if array.ndim > 1), None)
        if wide is not None and len(arrays) > 1:
            shape = list(self.content.arrays[wide].shape)
            text = f"{wide!r} has shape {shape}; only columns of single numbers go beside each other. Name it alone."
            raise _refused(self.place, text, "shape_mismatch")
        if len(lengths) > 1:
            raise _refused(
                self.place, f"The arrays have {sorted(lengths)} rows; one number is needed.", "length_mismatch"
            )
        return arrays[0] if wide is not None else np.stack(arrays, axis=1)

    def _check(self, name: str, place: tuple[int, ...]) -> None:
        if name in self.content.arrays:
            return
        if name in self.content.names:
            where, others = ".".join(self.place), listed(self.content.arrays)
            text = f"{name!r} is no column of numbers; name others in `data.{where}`: {others}."
            raise _refused(self.place, text, "not_numbers", *place)
        hint = did_you_mean(name, self.content.arrays)
        text = f"The file has no {shown(name)}.{hint} It has {listed(self.content.names)}."
        raise _refused(self.place, text, "missing_column", *place)


def _as_inputs(array: NDArray[Any]) -> NDArray[Any]:
    """Return float32 where that is exact, else float64; row numbers of an Embedding survive both."""
    exact = array.dtype.itemsize < 4 or array.dtype == np.float32
    return np.ascontiguousarray(array, dtype=np.float32 if exact else np.float64)


def _as_labels(array: NDArray[Any]) -> NDArray[Any]:
    whole = np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_
    return np.ascontiguousarray(array, dtype=np.int64 if whole and array.dtype != np.uint64 else np.float64)


def _refused(place: tuple[str, ...], text: str, code: str, *index: int) -> SpecError:
    return SpecError([FieldError(code, "ValueError", text, pointer_to(("data", *place, *index)))])
