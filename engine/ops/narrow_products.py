"""Matrix products of narrow floats as Eigen's CPU kernel forms them: the running sum is narrow and rounds at each term.

TensorFlow takes them so in the backward pass of convolutions. The order was found by comparing bits with TF 2.4.4 and
TF 2.21. Sums of many terms are cut where the caches of the processor are full, and cost a hundred times what a float32
product costs; so products beyond ``SHORT`` and ``TERMS`` are summed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.dtypes import DType
from engine.tape import Array, rounded

SHORT = 1024
"""Terms of the longest sum that is summed in the dtype."""
TERMS = 2**17
"""Terms of all sums of the largest such product, where a step of a small product counts as ``_STEP`` terms."""
_STEP = 64
_PACKET = 8
_UNROLLED = 8
_TOGETHER = 4


def narrow_product(a: Array, b: Array, dtype: DType, *, fused: bool) -> Array:
    """Return ``a @ b``, summed in the dtype if it is narrow and the product small, else in float32 or wider.

    Args:
        a: (rows, terms).
        b: (terms, columns).
        dtype: of both and of the result.
        fused: columns that fill no packet are summed by fused multiply-adds (TF 2.21); else products are rounded (2.4).

    Returns:
        (rows, columns), on the grid of the dtype where it was summed there.
    """
    (rows, terms), columns = a.shape, b.shape[1]
    if not dtype.low_precision or terms > SHORT or terms * max(rows * columns, _STEP) > TERMS:
        return a @ b
    found = np.empty((rows, columns), a.dtype)
    for part, own, alternating in _parts(rows, columns):
        unfused = own.stop % _PACKET == 0 or not fused
        found[part, own] = _summed(a[part], b[:, own], dtype, alternating=alternating, unfused=unfused)
    return found


def _parts(rows: int, columns: int) -> Iterator[tuple[slice, slice, bool]]:
    """Yield rows and columns of what is summed alike, and whether terms alternate between two sums."""
    packets = columns // _PACKET
    alone = packets % 3 == 1  # packets go in threes, then in twos; the sums of one alone leave room for a second each
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


def _summed(a: Array, b: Array, dtype: DType, *, alternating: bool, unfused: bool) -> Array:
    products = a.T[:, :, np.newaxis] * b[:, np.newaxis]
    if unfused:
        products = rounded(products, dtype)
    unrolled = len(products) // _UNROLLED * _UNROLLED if alternating else 0
    sums = np.zeros((2, *products.shape[1:]), products.dtype)
    for start in range(0, unrolled, 2):
        sums = rounded(sums + products[start : start + 2], dtype)
    found = rounded(sums[0] + sums[1], dtype) if unrolled else sums[0]
    for term in products[unrolled:]:
        found = rounded(found + term, dtype)
    return found
