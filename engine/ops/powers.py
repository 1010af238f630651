"""Powers with a constant exponent, and the reciprocal root."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.tape import Array, Op, Tensor, apply, rounded


def _power_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    base, exponent = saved
    slope = rounded(np.power(base, exponent - exponent.dtype.type(1)), dtype)
    return (rounded(gradient * exponent, dtype) * slope,)


POWER = Op("pow", lambda dtype, a, exponent: (np.power(a, exponent), (a, exponent)), _power_backward)


def _root_forward(dtype: DType, a: Array) -> tuple[Array, Any]:
    root = rounded(np.reciprocal(np.sqrt(a)), dtype)
    return root, root


def _root_backward(dtype: DType, gradient: Array, root: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    # As Eigen's kernel orders it, each product rounded: (-0.5 * (gradient * root)) * (root * root).
    left = rounded(gradient * root, dtype) * root.dtype.type(-0.5)
    return (np.where(gradient == 0, gradient, left * rounded(root * root, dtype)),)


RECIPROCAL_ROOT = Op("rsqrt", _root_forward, _root_backward)


def _square_root_forward(dtype: DType, a: Array) -> tuple[Array, Any]:
    root = rounded(np.sqrt(a), dtype)
    return root, root


def _square_root_backward(
    dtype: DType, gradient: Array, root: Array, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    return (rounded(gradient * gradient.dtype.type(0.5), dtype) / root,)


SQUARE_ROOT = Op("sqrt", _square_root_forward, _square_root_backward)


def power(tensor: Tensor, exponent: float) -> Tensor:
    """Return ``tensor ** exponent``; the exponent is rounded to the dtype, as TF casts a Python scalar."""
    on_grid = rounded(np.array([exponent], dtype=tensor.dtype.storage), tensor.dtype)[0]
    return apply(POWER, tensor, exponent=on_grid)


def reciprocal_root(tensor: Tensor) -> Tensor:
    """Return ``1 / sqrt(tensor)``, infinite at 0; where the gradient is 0 it stays so (as TensorFlow has it)."""
    return apply(RECIPROCAL_ROOT, tensor)


def square_root(tensor: Tensor) -> Tensor:
    """Return ``sqrt(tensor)``."""
    return apply(SQUARE_ROOT, tensor)
