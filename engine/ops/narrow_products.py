"""Matrix products in float16 as Eigen's CPU kernel forms them: the running sum is float16 and rounds at each term.

TensorFlow takes them so in ``tf.einsum`` and in the backward pass of convolutions. The order was found by comparing
bits with TF 2.4.4 and TF 2.21. Sums of many terms are cut where the caches of the processor are full, and cost a
hundred times what a float32 product costs; so larger products than :func:`is_short` allows are summed in float32 and
rounded once. So is bfloat16, as by the kernels of oneDNN that TensorFlow takes by default.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from engine.dtypes import FLOAT16, DType
from engine.ops.half_columns import in_order
from engine.rounding import round_to
from engine.tape import Array, rounded

_SHORT = 1024
_TERMS = 2**18
_STEP = 64
_PACKET = 8
_UNROLLED = 8
_TOGETHER = 4


def is_short(terms: int, sums: int) -> bool:
    """Return whether so many sums of so many terms each are summed in float16.

    The bounds keep a product below a few milliseconds: each step costs as much as ``_STEP`` terms.
    """
    return terms <= _SHORT and terms * max(sums, _STEP) <= _TERMS


def narrow_product(a: Array, b: Array, dtype: DType, *, fused: bool) -> Array:
    """Return ``a @ b``, summed in float16 if that is the dtype and the product is short, else in float32 or wider.

    Args:
        a: (..., rows, terms).
        b: (..., terms, columns), with the same leading axes.
        dtype: of both and of the result.
        fused: columns that fill no packet are summed by fused multiply-adds (TF 2.21); else products are rounded (2.4).

    Returns:
        (..., rows, columns), on the grid of the dtype where it was summed there.
    """
    (*batch, rows, terms), columns = a.shape, b.shape[-1]
    if dtype is not FLOAT16 or not is_short(terms, math.prod(batch) * rows * columns):
        return np.asarray(a @ b)
    found = np.empty((*batch, rows, columns), a.dtype)
    for part, own, alternating in _parts(rows, columns):
        unfused = (own.stop % _PACKET == 0 and rows > 1) or not fused
        found[..., part, own] = _summed(a[..., part, :], b[..., own], alternating=alternating, unfused=unfused)
    return found


def _parts(rows: int, columns: int) -> Iterator[tuple[slice, slice, bool]]:
    """Yield rows and columns of what is summed alike, and whether terms alternate between two sums."""
    packets = columns // _PACKET
    alone = packets % 2 == 1  # packets go in twos; the sums of one alone leave room for a second each
    filled = packets * _PACKET
    before = filled - _PACKET if alone else filled
    together = rows // _TOGETHER * _TOGETHER
    everything = slice(0, rows)
    if before:
        yield everything, slice(0, before), False
    if alone and together:
        yield slice(0, together), slice(before, filled), True
    if alone and together < rows:
        yield slice(together, rows), slice(before, filled), False
    if filled < columns:
        yield everything, slice(filled, columns), False


def _summed(a: Array, b: Array, *, alternating: bool, unfused: bool) -> Array:
    products = np.moveaxis(a, -1, 0)[..., np.newaxis] * np.moveaxis(b, -2, 0)[..., np.newaxis, :]
    if not unfused:
        return _fused(products)
    products = rounded(products, FLOAT16)
    unrolled = len(products) // _UNROLLED * _UNROLLED if alternating else 0
    with np.errstate(over="ignore", invalid="ignore"):
        if not unrolled:
            return in_order(products)
        return in_order(np.concatenate([in_order(products[:unrolled], 2)[np.newaxis], products[unrolled:]]))


def _fused(products: Array) -> Array:
    found = np.zeros_like(products[0])
    for term in products:
        np.add(found, term, out=found)
        round_to(found, FLOAT16, out=found)
    return found
