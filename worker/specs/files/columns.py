"""Which columns or arrays of a file are inputs, and which are labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.specs.errors import FieldError, SpecError, pointer_to
from worker.specs.files.content import Content
from worker.specs.samples import Samples
from worker.specs.wording import did_you_mean, listed, shown

LABELS = ("y", "label", "labels", "target")
"""Names that columns of labels go by, the first that there is."""
INPUTS = "x"
_DEFAULTS: Mapping[str, str] = MappingProxyType({"x": "inputs", "y": "labels"})


def choose(content: Content, x: str | Sequence[str] | None, y: str | Sequence[str] | None) -> Samples:
    """Return inputs and labels.

    Args:
        content: of the file.
        x: one name, or several whose columns are put beside each other; None for the default.
        y: likewise.

    Raises:
        SpecError: a name that is not there, or columns that do not go together; pointers into `/data`.
    """
    labels = _Choice(content, "y", y if y is not None else _usual_labels(content))
    inputs = _Choice(content, "x", x if x is not None else _usual_inputs(content, labels.names))
    samples = Samples(_as_inputs(inputs.array()), _as_labels(labels.array()))
    if len(samples.x) != len(samples.y):
        text = f"`x` has {len(samples.x):,} rows and `y` has {len(samples.y):,}; every row needs one label."
        raise _refused("y", text, "length_mismatch")
    return samples


def _usual_labels(content: Content) -> str:
    lowered = {name.lower(): name for name in reversed(content.names)}
    for name in LABELS:
        if name in lowered:
            return lowered[name]
    if content.tabular and len(content.names) > 1:
        return content.names[-1]
    raise _unclear(content, "y")


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
    return _refused(key, text, "missing_column")


@dataclass(frozen=True)
class _Choice:
    """What was chosen for `key`: one name, or several."""

    content: Content
    key: str
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
            raise _refused(self.key, text, "shape_mismatch")
        if len(lengths) > 1:
            raise _refused(
                self.key, f"The arrays have {sorted(lengths)} rows; one number is needed.", "length_mismatch"
            )
        return arrays[0] if wide is not None else np.stack(arrays, axis=1)

    def _check(self, name: str, place: tuple[int, ...]) -> None:
        if name in self.content.arrays:
            return
        if name in self.content.names:
            text = f"{name!r} is no column of numbers; name others in `data.{self.key}`: {listed(self.content.arrays)}."
            raise _refused(self.key, text, "not_numbers", *place)
        hint = did_you_mean(name, self.content.arrays)
        text = f"The file has no {shown(name)}.{hint} It has {listed(self.content.names)}."
        raise _refused(self.key, text, "missing_column", *place)


def _as_inputs(array: NDArray[Any]) -> NDArray[Any]:
    """Return float32 where that is exact, else float64; row numbers of an Embedding survive both."""
    exact = array.dtype.itemsize < 4 or array.dtype == np.float32
    return np.ascontiguousarray(array, dtype=np.float32 if exact else np.float64)


def _as_labels(array: NDArray[Any]) -> NDArray[Any]:
    whole = np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_
    return np.ascontiguousarray(array, dtype=np.int64 if whole and array.dtype != np.uint64 else np.float64)


def _refused(key: str, text: str, code: str, *place: int) -> SpecError:
    return SpecError([FieldError(code, "ValueError", text, pointer_to(("data", key, *place)))])
