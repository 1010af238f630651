"""Numbers and arrays on the grid of a variable's dtype: what optimizers compute with, op by op."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from engine.dtypes import DType
from engine.tape import Array, rounded

BLOCK = 65536
"""Elements per block: large enough to hide what a call of numpy costs, small enough for the caches (measured)."""

Grid: TypeAlias = Callable[[Any], Any]
"""Puts a fresh array, or one owned by the caller, onto a grid, in place."""


def _as_it_is(array: Any) -> Any:
    return array


def grid(dtype: DType) -> Grid:
    """Return what puts the result of an operation onto the grid of a dtype; wide dtypes need nothing."""
    return partial(rounded, dtype=dtype) if dtype.low_precision else _as_it_is


def number_on(value: Any, dtype: DType) -> Any:
    """Return a number as a scalar on the grid of a variable's dtype."""
    if not dtype.low_precision:
        return dtype.storage.type(value)
    return rounded(np.array([value], dtype=dtype.storage), dtype)[0]


def float32_number_on(value: float, dtype: DType) -> Any:
    """Return a number that Keras on TensorFlow holds as float32 even where variables are float64."""
    return number_on(np.float32(value), dtype)


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield the same stretches of several equally large, contiguous arrays, as flat views."""
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(array[start : start + BLOCK] for array in flat)
