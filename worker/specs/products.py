"""How many multiply-adds a pass through a model takes, from the shapes of its calls: nothing is computed.

They stand for time: a call that computes next to nothing takes some all the same, and counts as `A_CALL` of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.graph import Call
from engine.layers import Layer, Shape
from engine.layers.attention import OneHead
from engine.layers.convolutional import Conv2DTranspose
from engine.layers.dense import EinsumDense
from engine.layers.embedding import Embedding
from engine.layers.merging import Dot
from engine.layers.multi_head_attention import Projected
from engine.layers.recurrent import Recurrent
from engine.layers.wrappers import Bidirectional, TimeDistributed
from engine.nested import Nested


@dataclass(frozen=True)
class Use:
    """A layer on one sample.

    Attributes:
        layer: the layer.
        inputs: shapes of what it takes, without the batch axis.
        output: shape of what it gives, likewise.
    """

    layer: Any
    inputs: Sequence[Shape]
    output: Shape

    def kernels(self) -> int:
        """Return the sizes of the variables that are multiplied with inputs: those of at least two axes."""
        specs = self.layer.weight_specs(*((None, *shape) for shape in self.inputs))
        return sum(spec.size for spec in specs if len(spec.shape) > 1)


A_CALL = 1_000_000
"""Multiply-adds in the time of the bookkeeping of one call, or of one step of a recurrent layer: some 30 us."""


def multiply_adds(calls: Sequence[Call], batch: int) -> int:
    """Return about how many multiply-adds a pass forwards takes.

    What a layer computes of each of its values counts as one more; open axes count as 1.

    Args:
        calls: of the layers.
        batch: samples of the pass.
    """
    samples = sum(_of_sample(_use(call.layer, call.input_shapes, call.output_shape)) for call in calls)
    return batch * samples + A_CALL * sum(_unrolled(call.layer, call.input_shapes) for call in calls)


def _unrolled(layer: Layer, shapes: Sequence[Shape]) -> int:
    """Return how many calls of an op after another a layer makes."""
    return (shapes[0][1] or 1) if isinstance(layer, Recurrent | Bidirectional) else 1


def _use(layer: Layer, shapes: Sequence[Shape], output: Shape) -> Use:
    return Use(layer, [shape[1:] for shape in shapes], output[1:])


def _of_sample(use: Use) -> int:
    count = next((count for kind, count in COUNTS.items() if isinstance(use.layer, kind)), _everywhere)
    return count(use) + _volume(use.output) + sum(map(_volume, use.inputs))


def _volume(sizes: Sequence[int | None]) -> int:
    return math.prod(size or 1 for size in sizes)


def _everywhere(use: Use) -> int:
    """Each kernel is used once for every place of the output."""
    return use.kernels() * _volume(use.output[:-1])


def _spread(use: Use) -> int:
    """A transposed convolution uses its kernel once for every place of the input."""
    return use.kernels() * _volume(use.inputs[0][:-1])


def _nothing(_use: Use) -> int:
    """Rows are looked up, and nothing is multiplied."""
    return 0


def _steps(use: Use) -> int:
    """A recurrent layer uses its kernels once a step."""
    return use.kernels() * (use.inputs[0][0] or 1)


def _scores(use: Use) -> int:
    """Attention compares each query with each key, and sums values for each pair."""
    return 2 * _volume(use.inputs[0]) * _volume(use.inputs[-1][:-1])


def _heads(use: Use) -> int:
    """Projections of queries, keys and values, scores, sums and the projection of the output."""
    places = max(_volume(shape[:-1]) for shape in use.inputs)
    many: int = use.layer.heads()[0]
    pairs = _volume(use.inputs[0][:-1]) * _volume(use.inputs[-1][:-1])
    features: int = sum(use.layer.widths())
    return use.kernels() * places + many * features * pairs


def _each_step(use: Use) -> int:
    return (use.inputs[0][0] or 1) * _of_sample(Use(use.layer.inner_layers()[0], [use.inputs[0][1:]], use.output[1:]))


def _inside(use: Use) -> int:
    return multiply_adds(use.layer.graph(*((None, *shape) for shape in use.inputs)).calls, 1)


def _contracted(use: Use) -> int:
    """A product of two arrays: of (m, k) and (k, n) it takes m k n, the root of the product of all three sizes."""
    other = _volume(use.inputs[1]) if len(use.inputs) > 1 else use.kernels()
    return math.isqrt(_volume(use.inputs[0]) * other * _volume(use.output))


COUNTS: Mapping[type[Layer], Callable[[Use], int]] = {
    Embedding: _nothing,
    EinsumDense: _contracted,
    Dot: _contracted,
    Conv2DTranspose: _spread,
    Recurrent: _steps,
    Bidirectional: _steps,
    OneHead: _scores,
    Projected: _heads,
    TimeDistributed: _each_step,
    Nested: _inside,
}
"""By class; for all others, kernels at every place of the output."""
