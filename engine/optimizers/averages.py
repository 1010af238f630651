"""Exponential moving averages of the variables, kept in a slot of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.conventions import Conventions
from engine.dtypes import DType
from engine.optimizers.arithmetic import blocks, grid, number_on
from engine.tape import Array
from engine.weights import WeightSpec

SLOT = "average"


def begun(spec: WeightSpec, variables: Mapping[str, Array] | None, conventions: Conventions) -> Array:
    """Return an average before the first step: the variable in Keras 2; Keras 3's takes it at iteration 0."""
    if variables is None or conventions.keras3:
        return np.zeros(spec.shape, spec.dtype.storage)
    return variables[spec.path].copy()


def shares(momentum: float, count: int, dtype: DType, conventions: Conventions) -> tuple[Any, Any]:
    """Return what an average keeps of itself, and what it takes of the variable, as numbers on its grid."""
    if not conventions.keras3:
        return number_on(momentum, dtype), number_on(1 - momentum, dtype)
    kept = number_on(momentum if count else 0.0, dtype)
    return kept, number_on(1 - kept, dtype)


def follow(spec: WeightSpec, variable: Array, slots: Mapping[str, Array], kept: Any, taken: Any) -> None:
    """Move a variable's average towards it."""
    on = grid(spec.dtype)
    for w, average in blocks(variable, slots[f"{SLOT}/{spec.path}"]):
        on(np.multiply(average, kept, out=average))
        on(np.add(average, on(w * taken), out=average))


def overwrite(specs: Sequence[WeightSpec], variables: Sequence[Array], slots: Mapping[str, Array]) -> None:
    """Set variables to their averages."""
    for spec, variable in zip(specs, variables, strict=True):
        np.copyto(variable, slots[f"{SLOT}/{spec.path}"])
