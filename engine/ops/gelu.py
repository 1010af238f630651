"""The Gaussian error linear unit (Hendrycks 2016), op by op as Keras computes it on TensorFlow.

Two of its constants are float32 numbers even where x is float64 (observed in Keras 3.15.1 on TF 2.21).
"""

from __future__ import annotations

import math

import numpy as np

from engine.dtypes import DType
from engine.ops.activations import tanh
from engine.ops.elementwise import add, multiply, scale
from engine.tape import Array, Op, Tensor, apply, constant

_SLOPE_AT_0 = 2 / math.sqrt(math.pi)

# Minimax quotient of two polynomials in x**2 on [-4, 4], highest power first; error below 5e-7.
# Source: Eigen, ``generic_fast_erf_float``.
_NUMERATOR = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_DENOMINATOR = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)

_erf_of_each = np.frompyfunc(math.erf, 1, 1)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += x.dtype.type(coefficient)
    return total


def _erf(x: Array) -> Array:
    if x.dtype == np.float64:  # rare, so exactness is worth a call per number
        return np.asarray(_erf_of_each(x), dtype=np.float64)
    clipped = np.clip(x, np.float32(-4), np.float32(4))
    square = clipped * clipped
    quotient = clipped * _polynomial(_NUMERATOR, square) / _polynomial(_DENOMINATOR, square)
    return np.clip(quotient, np.float32(-1), np.float32(1))


def _erf_backward(dtype: DType, gradient: Array, x: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    return (gradient * (x.dtype.type(_SLOPE_AT_0) * np.exp(-x * x)),)


def _cube_backward(dtype: DType, gradient: Array, x: Array, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    return (gradient * (x.dtype.type(3) * x * x),)


ERF = Op("erf", lambda dtype, x: (_erf(x), x), _erf_backward)
CUBE = Op("pow", lambda dtype, x: (x * x * x, x), _cube_backward)


def erf(x: Tensor) -> Tensor:
    """Return the error function of each entry."""
    return apply(ERF, x)


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """Return ``x / 2 * (1 + erf(x / sqrt(2)))``, or its approximation by tanh."""
    half, one = scale(x, 0.5), constant(1, x.dtype)
    if approximate:
        inner = add(x, multiply(_float32(0.044715, x), apply(CUBE, x)))
        return multiply(half, add(one, tanh(scale(inner, math.sqrt(2 / math.pi)))))
    return multiply(half, add(one, erf(multiply(x, _float32(math.sqrt(0.5), x)))))


def _float32(value: float, like: Tensor) -> Tensor:
    return constant(float(np.float32(value)), like.dtype)
