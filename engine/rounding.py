"""float32 arrays -> float32 arrays on the grid of a narrower dtype, to nearest, ties to even, exact to the bit.

A number is converted to the narrow dtype and back, both by NumKong, which uses the processor's own instructions
(VCVTPS2PH and its kin) where numpy's wheels convert float16 bit by bit. What it converts otherwise than numpy and
ml_dtypes do, which are the measure here, is looked for first and left to them: float8 numbers beyond the largest
(NumKong stays at the largest), and nan, whose payload it cuts off, so that some would become infinity.

Measured (numpy 2.4, numkong 7.8, AMD EPYC with AVX-512, see ``benchmarks/rounding.py``): float16 takes 0.16 ns a number
and 0.5 us a call. Before it, adding and subtracting a power of two found from each number's bits took seven passes of
numpy, 0.6 ns a number and 4 us a call, and was all that numpy alone could do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numkong
import numpy as np
from numpy.typing import NDArray

from engine.dtypes import BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT16, DType, as_dtype

Float32Array = NDArray[np.float32]

Array = NDArray[Any]

Name: TypeAlias = Literal["float16", "bfloat16", "float8_e4m3", "float8_e5m2"]
"""Of a dtype in NumKong."""

BLOCK = 262144
"""Elements per block: what lies between the two conversions stays within the second-level cache."""


def _there_and_back(x: Float32Array, out: Float32Array, name: Name) -> None:
    numkong.astype(numkong.astype(x, name), "float32", out=out)


def _to_bfloat16(x: Float32Array, out: Float32Array) -> None:
    if x.size == 0 or math.isnan(x.item(x.argmax())):  # a nan counts as the largest
        _by_cast(x, BFLOAT16, out)
    else:
        _there_and_back(x, out, "bfloat16")


def _to_float8(x: Float32Array, out: Float32Array, dtype: DType, name: Name) -> None:
    if x.size and x.item(x.argmin()) >= -dtype.max and x.item(x.argmax()) <= dtype.max:  # a nan is neither
        _there_and_back(x, out, name)
    else:
        _by_cast(x, dtype, out)


def _by_cast(x: Float32Array, dtype: DType, out: Float32Array) -> None:
    with np.errstate(all="ignore"):
        np.copyto(out, x.astype(dtype.edge))


_CONVERSIONS: Mapping[str, Callable[[Float32Array, Float32Array], None]] = MappingProxyType(
    {
        FLOAT16.name: partial(_there_and_back, name="float16"),
        BFLOAT16.name: _to_bfloat16,
        FLOAT8_E4M3FN.name: partial(_to_float8, dtype=FLOAT8_E4M3FN, name="float8_e4m3"),
        FLOAT8_E5M2.name: partial(_to_float8, dtype=FLOAT8_E5M2, name="float8_e5m2"),
    }
)
"""``(x, out)``: there and back, by the dtype's name."""


def round_to(x: Array, dtype: DType, out: Array | None = None) -> Array:
    """Round every number of ``x`` to the nearest number of ``dtype``, ties to even.

    Args:
        x: array of ``dtype.storage`` (float32 for every narrow float), any shape and strides.
        dtype: the grid. Dtypes that are as wide as their storage leave x as it is.
        out: array of the same shape and dtype that takes the result; may be ``x`` itself, but must not overlap it
            in any other way.

    Returns:
        ``out``; without it a new array, or x itself where there is nothing to round. Overflow gives infinity
        (float8_e4m3fn, which has none, nan); signs of zeros are kept. No floating-point warning is given, but for
        signalling nans, which arithmetic never makes.
    """
    if not dtype.low_precision:
        return x if out is None or out is x else _copied(x, out)
    if out is None:
        out = np.empty(x.shape, np.float32)
    elif not out.flags.c_contiguous:
        return _copied(round_to(x, dtype), out)
    if out is not x and not x.flags.c_contiguous:
        x = np.array(x, np.float32, order="C")
    convert = _CONVERSIONS[dtype.name]
    if x.size <= BLOCK:
        convert(x, out)
        return out
    flat, result = x.reshape(-1), out.reshape(-1)
    for start in range(0, x.size, BLOCK):
        stop = start + BLOCK
        convert(flat[start:stop], result[start:stop])
    return out


def _copied(x: Array, out: Array) -> Array:
    np.copyto(out, x)
    return out


def round_stochastically(x: Array, dtype: DType, draws: Array) -> Array:
    """Round every number of ``x`` up or down to a neighbour on the grid, each as likely as x is near to it.

    The mean over draws is x (Gupta 2015, arXiv:1502.02551). Numbers on the grid stay; those beyond the largest finite
    one, infinities and nan are rounded to nearest.

    Args:
        x: float32 or float64.
        dtype: a narrow float.
        draws: uniform in [0, 1), of the shape of x; they decide.

    Returns:
        A new float32 array.
    """
    wide = x.astype(np.float64)
    nearest = round_to(np.array(x, np.float32, order="C"), dtype)
    inside = np.abs(wide) <= dtype.max
    exponents = np.maximum(np.frexp(wide)[1] - 1, math.floor(math.log2(dtype.min_normal)))
    steps = np.ldexp(1.0, exponents - dtype.mantissa_bits)
    scaled = np.where(inside, wide, 0) / steps
    below = np.floor(scaled)
    chosen = (below + (draws < scaled - below)) * steps
    return np.where(inside, np.copysign(chosen, x), nearest).astype(np.float32)


def to_edge(x: Array, dtype: DType) -> Array:
    """Return a copy of ``x``, which lies on the grid of ``dtype``, in the true numpy or ml_dtypes dtype: no loss."""
    return x.astype(dtype.edge)


def from_edge(x: Array) -> tuple[Array, DType]:
    """Return a copy of an array in its storage dtype (float32 for narrow floats), and the dtype it came in."""
    dtype = as_dtype(x.dtype)
    return x.astype(dtype.storage), dtype
