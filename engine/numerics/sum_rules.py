"""Rules about sums inside a layer: count times value against the largest number of float16.

Where the data are known and reach the layer as they are, the figures are theirs; else the limit is named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from engine.dtypes import BFLOAT16, FLOAT16, DType
from engine.graph import Call
from engine.layers import Layer
from engine.layers.base import Shape
from engine.layers.layer_normalization import GroupNormalization, LayerNormalization, UnitNormalization
from engine.layers.merging import Dot
from engine.layers.pooling import AveragePooling1D, AveragePooling2D, GlobalAveragePooling1D, GlobalAveragePooling2D
from engine.layers.readers import along
from engine.numerics.case import Case, Rule
from engine.numerics.findings import Finding
from engine.numerics.magnitudes import Magnitudes

_SUM_SOURCE = "tensorflow/tensorflow#47156; candle#3719; TF 2.4.4 and 2.21 on CPU, observed"
_WIDE = 'Give the layer dtype "float32"'
_FAR = 1024.0
"""A limit above it is not worth a word where the data are not known."""
_VECTOR = 8
"""Channels from which on TF 2.21 keeps several partial sums."""


def _of_kind(case: Case, *kinds: type[Layer]) -> Iterator[tuple[Layer, Call, Magnitudes | None]]:
    """Yield the layers of some kinds once each, with their first call and what is known of its input."""
    known, done = case.subject.arriving, set()
    for index, call in enumerate(case.subject.network.graph.calls):
        if isinstance(call.layer, kinds) and call.layer.name not in done:
            done.add(call.layer.name)
            yield call.layer, call, known.get(index)


def _overflow(layer: Layer, why: str, fix: str, *, certain: bool, **evidence: float) -> Finding:
    return Finding(
        code="sum_overflow",
        severity="error" if certain else "info",
        layer=layer.name,
        why=why,
        fix=fix,
        source=_SUM_SOURCE,
        evidence={"dtype": "float16", "max": FLOAT16.max, **evidence},
    )


def _product(shape: Shape) -> int:
    return math.prod(size or 1 for size in shape)


def averages(case: Case) -> Iterator[Finding]:
    """Means whose sum is kept in the compute dtype: it overflows, or stops to grow."""
    kinds = (AveragePooling1D, AveragePooling2D, GlobalAveragePooling1D, GlobalAveragePooling2D)
    for layer, call, known in _of_kind(case, *kinds):
        dtype = layer.policy.compute
        count, keeps = _added(layer, call, dtype)
        if dtype is FLOAT16 and count:
            yield from _mean_overflow(layer, count, known)
        if keeps and count > keeps:
            yield _stalled(
                layer,
                f"{count} numbers are added up in {dtype.name}, rounded after every addition (TensorFlow's CPU kernel; "
                f"GPUs add in float32): of numbers alike the sum stops growing after {keeps}, and the mean is wrong.",
                f"{_WIDE}, or pool in several smaller steps.",
                dtype,
                count,
                "warning",
            )


def _added(layer: Layer, call: Call, dtype: DType) -> tuple[int, int]:
    """Return how many numbers are added up, and how many ones a sum of the dtype takes; 0 where it is float32."""
    lengths = call.input_shapes[0][1:-1]
    ones = 2 ** (dtype.mantissa_bits + 1) if dtype.low_precision else 0
    if isinstance(layer, AveragePooling1D | AveragePooling2D):
        window = zip(layer.pool_size, lengths, strict=True)
        return math.prod(min(size, length or size) for size, length in window), ones
    if layer.conventions.keras3 or dtype is not FLOAT16:
        return 0, 0  # Keras 3 takes this mean in float32, TensorFlow that of bfloat16
    lanes = layer.conventions.sum_lanes if (call.input_shapes[0][-1] or 0) >= _VECTOR else 1
    return _product(lengths), ones * lanes


def _mean_overflow(layer: Layer, count: int, known: Magnitudes | None) -> Iterator[Finding]:
    limit = FLOAT16.max / count
    begins = f"{count} numbers are added up in float16 before the sum is divided (TensorFlow's CPU kernel)"
    fix = f"{_WIDE}, scale the inputs down, or pool in several smaller steps."
    if known is None and limit < _FAR:
        why = f"{begins}: infinite, or far too small, where their mean exceeds 65504 / {count} = {limit:.4g}."
        yield _overflow(layer, why, fix, certain=False, count=count, largest_mean=limit)
    elif known is not None and known.mean > limit:
        total = count * known.mean
        why = f"{begins}: {count} x {known.mean:g} = {total:g} > 65504, so the result is infinite or far too small."
        yield _overflow(layer, why, fix, certain=True, count=count, mean=known.mean, sum=total)


def _stalled(layer: Layer, why: str, fix: str, dtype: DType, count: int, severity: str) -> Finding:
    return Finding(
        code="precision_loss",
        severity="warning" if severity == "warning" else "info",
        layer=layer.name,
        why=why,
        fix=fix,
        source="TF 2.4.4 and 2.21 on CPU, observed",
        evidence={"dtype": dtype.name, "count": count, "ones_up_to": 2 ** (dtype.mantissa_bits + 1)},
    )


def norms(case: Case) -> Iterator[Finding]:
    """Norms whose squares are summed in float16."""
    for layer, call, known in _of_kind(case, UnitNormalization, Dot):
        if layer.policy.compute is not FLOAT16 or (isinstance(layer, Dot) and not layer.normalize):
            continue
        shape = call.input_shapes[0]
        places = along(layer.axis) if isinstance(layer, UnitNormalization) else (-1,)
        count = math.prod(shape[place] or 1 for place in places)
        root = math.sqrt(FLOAT16.max)
        fix = f"{_WIDE}, or scale the inputs so that their norm is far from 256 and from 0."
        begins = "Squares, their sum and its root are float16 each:"
        if known is None:
            why = (
                f"{begins} infinite, and the result 0, where a number exceeds {root:.4g} or the sum of {count} "
                f"squares 65504 (root mean square {math.sqrt(FLOAT16.max / count):.4g}); a row whose squares all "
                "vanish (numbers below 0.00017, or 0) becomes nan."
            )
            yield _overflow(layer, why, fix, certain=False, count=count, largest=root)
        elif known.largest > root:
            square = known.largest**2
            why = f"{begins} the square of {known.largest:g} = {square:g} > 65504, so the result is 0."
            yield _overflow(layer, why, fix, certain=True, count=count, largest=known.largest, square=square)
        elif count * known.mean_square > FLOAT16.max:
            total = count * known.mean_square
            why = f"{begins} {count} squares x {known.mean_square:g} = {total:g} > 65504, so the result is 0."
            yield _overflow(layer, why, fix, certain=True, count=count, mean_square=known.mean_square, sum=total)


def variances(case: Case) -> Iterator[Finding]:
    """Variances that are rounded to a narrow dtype."""
    for layer, _, known in _of_kind(case, GroupNormalization, LayerNormalization):
        dtype = layer.policy.compute
        if not (isinstance(layer, GroupNormalization | LayerNormalization) and layer.narrow_statistics):
            continue
        if dtype is FLOAT16:
            begins = "Mean and variance are rounded to float16 before they are used"
            fix = f"{_WIDE}, or scale the inputs so that they deviate by less than 256."
            if known is None:
                why = f"{begins}: from a deviation of 256 on the variance is infinite, and the result the offset alone."
                yield _overflow(layer, why, fix, certain=False, largest_deviation=256.0)
            elif known.variance > dtype.max:
                why = f"{begins}: a variance of {known.variance:g} > 65504 is infinite, the result the offset alone."
                yield _overflow(layer, why, fix, certain=True, variance=known.variance)
        elif dtype is BFLOAT16:
            yield Finding(
                code="normalization_low_precision",
                severity="info",
                layer=layer.name,
                why="Mean, variance and every product are rounded to bfloat16, which holds 2 to 3 digits.",
                fix=f"{_WIDE}.",
                source="tf_keras GroupNormalization and LayerNormalization (2.21), observed",
                evidence={"dtype": dtype.name, "epsilon": dtype.epsilon},
            )


SUM_RULES: tuple[Rule, ...] = (averages, norms, variances)
