"""float32 arrays -> float32 arrays on the grid of a narrower dtype, to nearest, ties to even, exact to the bit.

How it works for float16 and float8 (``_Grid``). Let ``e`` be the exponent of x, never below that of the smallest
normal number, and ``p`` the number of mantissa bits. Adding ``1.5 * 2**(23 - p + e)`` to x makes float32's own
rounding drop exactly the bits that the narrow dtype does not have (ties to even included, because that number is a
multiple of two grid steps), and subtracting it again is exact. The addend comes from the bits of x: mask the exponent,
take the larger of it and the smallest normal, multiply. What this cannot do is found by one look at the largest
exponent of a block (overflow, infinity, nan: ``_round_rare``) and at its smallest integer (a negative number that
becomes zero has to keep its sign). bfloat16 goes through ml_dtypes, whose loop is faster than five passes.

Arrays are worked on in blocks that stay in the cache.

Measured (1e6 standard normal numbers, numpy 2.4, see ``benchmarks/rounding.py``): float16 costs about a third of
``astype(float16)``, float8 a twelfth of a cast by ml_dtypes, and no way back is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.dtypes import FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT16, DType, as_dtype

Float32Array = NDArray[np.float32]

Array = NDArray[Any]

BLOCK = 65536
"""Elements per block: x, result, scratch and bound together stay within the second-level cache."""

CAST_UP_TO = 768
"""Elements up to which a plain cast there and back is faster than the ten calls of the other way."""

_EXPONENT = np.array(0x7F800000, np.int32)
_SIGN = np.array(-(2**31), np.int32)


@dataclass(frozen=True)
class _Grid:
    """The constants of one narrow float.

    Attributes:
        smallest: ``BLOCK`` times the smallest normal number. An array, because numpy takes the larger of two arrays
            four times as fast as that of an array and a number.
        addend: what makes the addend of an exponent, ``1.5 * 2**(23 - p)``.
        rare: exponent bits from which on a result may not be finite.
        underflow: bits of the largest negative number (nearest to the smallest integer) that becomes zero.
        bound: magnitude to clip to before rounding, large enough to overflow, small enough for the addend.
        largest: largest finite number of the dtype.
        overflow: what larger numbers become.
    """

    smallest: Float32Array
    addend: NDArray[np.float32]
    rare: int
    underflow: int
    bound: float
    largest: float
    overflow: float

    @classmethod
    def of(cls, dtype: DType, overflow: float) -> _Grid:
        """Derive the constants of a dtype whose numbers beyond the largest become ``overflow``."""
        smallest = np.full(BLOCK, dtype.min_normal, np.float32)
        smallest.flags.writeable = False
        binade = 2.0 ** math.floor(math.log2(dtype.max))
        return cls(
            smallest=smallest,
            addend=np.array(1.5 * 2.0 ** (23 - dtype.mantissa_bits), np.float32),
            rare=int(np.float32(binade).view(np.int32)),
            underflow=int(np.float32(-dtype.min_subnormal / 2).view(np.int32)),
            bound=2 * binade,
            largest=dtype.max,
            overflow=overflow,
        )


_GRIDS: Mapping[str, _Grid] = MappingProxyType(
    {
        FLOAT16.name: _Grid.of(FLOAT16, np.inf),
        FLOAT8_E5M2.name: _Grid.of(FLOAT8_E5M2, np.inf),
        FLOAT8_E4M3FN.name: _Grid.of(FLOAT8_E4M3FN, np.nan),
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
        if x.flags.c_contiguous:
            out = np.empty(x.shape, np.float32)
        else:
            out = x = np.array(x, np.float32, order="C")
    elif not (x.flags.c_contiguous and out.flags.c_contiguous):
        return _copied(round_to(np.array(x, np.float32, order="C"), dtype), out)
    grid = _GRIDS.get(dtype.name)
    if grid is None:
        _round_by_cast(x.reshape(-1), dtype, out.reshape(-1))
    elif x.size <= CAST_UP_TO:
        with np.errstate(over="ignore"):
            np.copyto(out, x.astype(dtype.edge))
    else:
        _round_on_grid(x.reshape(-1), grid, out.reshape(-1))
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


def _copied(x: Array, out: Array) -> Array:
    np.copyto(out, x)
    return out


def _round_by_cast(x: Float32Array, dtype: DType, out: Float32Array) -> None:
    for start in range(0, x.size, BLOCK):
        stop = start + BLOCK
        np.copyto(out[start:stop], x[start:stop].astype(dtype.edge))


def _round_on_grid(x: Float32Array, grid: _Grid, out: Float32Array) -> None:
    bits = x.view(np.int32)
    if x.size <= BLOCK:
        _round_block(x, bits, grid, np.empty(x.size, np.int32), out)
        return
    scratch = np.empty(BLOCK, np.int32)
    for start in range(0, x.size, BLOCK):
        stop = start + BLOCK
        part = bits[start:stop]
        _round_block(x[start:stop], part, grid, scratch[: part.size], out[start:stop])


def _round_block(
    x: Float32Array, bits: NDArray[np.int32], grid: _Grid, scratch: NDArray[np.int32], out: Float32Array
) -> None:
    np.bitwise_and(bits, _EXPONENT, scratch)
    if scratch.item(scratch.argmax()) >= grid.rare:
        _round_rare(x, grid, out)
        return
    underflow = bits.item(bits.argmin()) <= grid.underflow
    signs = np.bitwise_and(bits, _SIGN) if underflow else None  # before out, which may be x, is written
    _add_and_subtract(x, grid, scratch.view(np.float32), out)
    if signs is not None:
        result = out.view(np.int32)
        np.bitwise_or(result, signs, result)


def _add_and_subtract(x: Float32Array, grid: _Grid, power: Float32Array, out: Float32Array) -> None:
    """Round finite x; ``power`` holds the power of two of each and is used up."""
    np.maximum(power, grid.smallest[: power.size], out=power)  # numpy 2.4 deprecates its positional out
    np.multiply(power, grid.addend, power)
    np.add(x, power, out)
    np.subtract(out, power, out)


def _round_rare(x: Float32Array, grid: _Grid, out: Float32Array) -> None:
    """Round a block that may hold nan, infinity or numbers which overflow."""
    with np.errstate(all="ignore"):
        clipped = np.clip(x, -grid.bound, grid.bound)
        power = np.bitwise_and(clipped.view(np.int32), _EXPONENT).view(np.float32)
        _add_and_subtract(clipped, grid, power, clipped)
        overflowed = np.abs(clipped) > grid.largest
        np.copysign(clipped, x, out=out)
        np.copyto(out, np.copysign(np.float32(grid.overflow), x), where=overflowed)
