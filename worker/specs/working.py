"""What the computation of a layer holds beside its outputs until the step ends: patches, attention scores, gates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from engine.layers import Layer, Shape
from engine.layers.attention import Attention, OneHead
from engine.layers.convolutional import Conv2D, Conv2DTranspose, Windowed
from engine.layers.multi_head_attention import Projected
from engine.layers.pooling import Pooling
from engine.layers.recurrent import Recurrent
from engine.layers.wrappers import Bidirectional, TimeDistributed
from engine.nested import Nested

Estimate: TypeAlias = Callable[[Any, Sequence[Shape], int], int]

PER_STEP = 5_000
"""Values whose memory the bookkeeping of one unrolled step takes, whatever its arrays hold."""


def working_values(layer: Layer, shapes: Sequence[Shape], batch: int) -> int:
    """Return roughly how many values one call of a layer keeps beside its outputs.

    Args:
        layer: the layer.
        shapes: of its inputs, batch axis first; open axes count as 1.
        batch: samples of the step.
    """
    return sum(estimate(layer, shapes, batch) for kind, estimate in ESTIMATES.items() if isinstance(layer, kind))


def _volume(sizes: Sequence[int | None]) -> int:
    return math.prod(size or 1 for size in sizes)


def _padded(layer: Windowed, shapes: Sequence[Shape], batch: int) -> int:
    if layer.padding == "valid":
        return 0
    spans = [(size - 1) * rate for size, rate in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    return batch * _surrounded(shapes[0], spans)


def _pooled(layer: Pooling, shapes: Sequence[Shape], batch: int) -> int:
    return 0 if layer.padding == "valid" else batch * _surrounded(shapes[0], layer.pool_size)


def _surrounded(shape: Shape, spans: Sequence[int]) -> int:
    """Return the values of an image with so much around it."""
    lengths = [(size or 1) + span for size, span in zip(shape[1:-1], spans, strict=True)]
    return math.prod(lengths) * (shape[-1] or 1)


def _patches(layer: Conv2D, shapes: Sequence[Shape], batch: int) -> int:
    places = _volume(layer.compute_output_shape(*shapes)[1:-1])
    return batch * places * math.prod(layer.kernel_size) * (shapes[0][-1] or 1)


def _spread(layer: Conv2DTranspose, shapes: Sequence[Shape], batch: int) -> int:
    return batch * _volume(shapes[0][1:-1]) * math.prod(layer.kernel_size) * layer.filters


def _scores(layer: OneHead, shapes: Sequence[Shape], batch: int) -> int:
    pairs = batch * _volume(shapes[0][1:-1]) * _volume(shapes[-1][1:-1])
    by_products = isinstance(layer, Attention) and layer.score_mode == "dot"
    return pairs * (2 if by_products else _volume(shapes[0][-1:]))


def _heads(layer: Projected, shapes: Sequence[Shape], batch: int) -> int:
    along = layer.attended(len(shapes[0]))
    queries, keys = (_volume([shape[axis] for axis in along]) for shape in (shapes[0], shapes[-1]))
    others = _volume(shapes[0][1:-1]) // queries
    many, _ = layer.heads()
    return batch * others * many * (2 * queries * keys + (queries + keys) * sum(layer.widths()))


def _steps(layer: Recurrent, shapes: Sequence[Shape], batch: int) -> int:
    steps = shapes[0][1] or 1
    return steps * (PER_STEP + batch * 2 * layer.gates * layer.units)


def _both_ways(layer: Bidirectional, shapes: Sequence[Shape], batch: int) -> int:
    return 2 * working_values(layer.layer, shapes, batch)


def _each_step(layer: TimeDistributed, shapes: Sequence[Shape], batch: int) -> int:
    first, steps, *rest = shapes[0]
    return working_values(layer.inner_layers()[0], [(first, *rest)], batch * (steps or 1))


def _inside(layer: Nested, shapes: Sequence[Shape], batch: int) -> int:
    """Return what the calls inside a model that a wrapper holds keep, their outputs included."""
    calls = layer.graph(*shapes).calls
    outputs = sum(batch * _volume(shape[1:]) for call in calls for shape in call.output_shapes)
    return outputs + sum(working_values(call.layer, call.input_shapes, batch) for call in calls)


ESTIMATES: Mapping[type[Layer], Estimate] = {
    Windowed: _padded,
    Pooling: _pooled,
    Conv2D: _patches,
    Conv2DTranspose: _spread,
    OneHead: _scores,
    Projected: _heads,
    Recurrent: _steps,
    Bidirectional: _both_ways,
    TimeDistributed: _each_step,
    Nested: _inside,
}
"""By class; a layer of several of them needs the sum."""
