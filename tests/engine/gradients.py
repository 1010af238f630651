"""Gradients of any function of tensors, held against central finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.dtypes import FLOAT64
from engine.tape import Array, Tape, Tensor

STEP = 1e-6


def check_gradients(function: Callable[..., Tensor], *arrays: Array, tolerance: float = 2e-7) -> None:
    """Assert that the tape's gradient of sum(function(...) * cotangent) equals finite differences, for each input."""
    inputs = [np.array(array, dtype=np.float64) for array in arrays]
    cotangent = np.random.default_rng(7).normal(size=_value(function, inputs).shape)
    tape = Tape()
    leaves = [tape.leaf(array.copy(), FLOAT64) for array in inputs]
    gradients = tape.gradient(function(*leaves), leaves, seed=cotangent)
    for position, (array, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        expected = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            high, low = (_moved(inputs, position, index, step) for step in (STEP, -STEP))
            difference = _value(function, high) - _value(function, low)
            expected[index] = (difference * cotangent).sum() / (2 * STEP)
        found = np.zeros_like(array) if gradient is None else gradient
        np.testing.assert_allclose(found, expected, rtol=tolerance * 10, atol=tolerance * 10)


def _value(function: Callable[..., Tensor], arrays: list[Array]) -> Array:
    return function(*[Tensor(array.copy(), FLOAT64) for array in arrays]).data


def _moved(arrays: list[Array], position: int, index: tuple[int, ...], step: float) -> list[Array]:
    moved = [array.copy() for array in arrays]
    moved[position][index] += step
    return moved
