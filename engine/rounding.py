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
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numkong
import numpy as np
from numpy.typing import NDArray

from engine.dtypes import BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT16, DType, as_dtype

Float32Array = NDArray[np.float32]

Array = NDArray[Any]

BLOCK = 262144
"""Elements per block: what lies between the two conversions stays within the second-level cache."""


def _all_alike(x: Float32Array, dtype: DType) -> bool:
    return True


def _without_nan(x: Float32Array, dtype: DType) -> bool:
    return not math.isnan(x.item(x.argmax()))  # a nan counts as the largest


def _within(x: Float32Array, dtype: DType) -> bool:
    return x.item(x.argmin()) >= -dtype.max and x.item(x.argmax()) <= dtype.max  # a nan is neither


@dataclass(frozen=True)
class _Conversion:
    """How NumKong converts to a narrow float.

    Attributes:
        name: of the dtype there.
        alike: ``(x, dtype)``, whether every number of x, which has some, is converted as numpy and ml_dtypes do.
    """

    name: Literal["float16", "bfloat16", "float8_e5m2", "float8_e4m3"]
    alike: Callable[[Float32Array, DType], bool]


_CONVERSIONS: Mapping[str, _Conversion] = MappingProxyType(
    {
        FLOAT16.name: _Conversion("float16", _all_alike),
        BFLOAT16.name: _Conversion("bfloat16", _without_nan),
        FLOAT8_E5M2.name: _Conversion("float8_e5m2", _within),
        FLOAT8_E4M3FN.name: _Conversion("float8_e4m3", _within),
    }
)


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
    if not x.flags.c_contiguous:
        x = np.array(x, np.float32, order="C")
    conversion = _CONVERSIONS[dtype.name]
    if x.size <= BLOCK:
        _convert(x, dtype, conversion, out)
        return out
    flat, result = x.reshape(-1), out.reshape(-1)
    for start in range(0, x.size, BLOCK):
        stop = start + BLOCK
        _convert(flat[start:stop], dtype, conversion, result[start:stop])
    return out


def _convert(x: Float32Array, dtype: DType, conversion: _Conversion, out: Float32Array) -> None:
    if x.size == 0:
        return
    if conversion.alike(x, dtype):
        numkong.astype(numkong.astype(x, conversion.name), "float32", out=out)
        return
    with np.errstate(all="ignore"):
        np.copyto(out, x.astype(dtype.edge))


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
