"""Sums that TensorFlow's CPU kernels take in a narrow dtype, and that are too long for the engine to take so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from engine.dtypes import BFLOAT16, FLOAT16, DType
from engine.graph import Call
from engine.layers import Layer
from engine.layers.attention import OneHead
from engine.layers.base import Shape
from engine.layers.convolutional import Conv2D, Conv2DTranspose, DepthwiseConv2D, SeparableConv2D
from engine.layers.dense import Dense, EinsumDense
from engine.layers.embedding import Embedding
from engine.layers.multi_head_attention import Projected
from engine.layers.wrappers import TimeDistributed
from engine.numerics.case import Case, Rule
from engine.numerics.findings import Finding
from engine.ops.narrow_products import is_short

_SHARE = 8
"""A sum is worth a word from this part of the ones on that the dtype can count."""

_WIDE = "so many in float32, as GPUs do"


@dataclass(frozen=True)
class KernelSum:
    """A sum of a layer.

    Attributes:
        of: what it is, for the message.
        terms: how many numbers are added up.
        sums: how many such sums there are.
        dtype: in which TensorFlow's kernel adds.
        here: what the engine does, where it does not add in float32.
    """

    of: str
    terms: int
    sums: int
    dtype: DType
    here: str = ""

    @property
    def shows(self) -> bool:
        """Whether the engine adds otherwise than the kernel, and of so many terms that it shows; or the sum stalls."""
        if self.reproduced:
            return self.terms > self.ones
        return self.terms * _SHARE >= self.ones

    @property
    def reproduced(self) -> bool:
        """Whether the engine adds as the kernel does."""
        return not self.here and is_short(self.terms, self.sums)

    @property
    def ones(self) -> int:
        """How many ones the dtype counts before the sum stands still."""
        return int(2 ** (self.dtype.mantissa_bits + 1))


def _places(shape: Shape) -> int:
    return math.prod(size or 1 for size in shape[1:-1])


def _size(layer: Layer, call: Call, name: str) -> int:
    specs = {spec.name: spec for spec in layer.weight_specs(*call.input_shapes)}
    return math.prod(specs[name].shape) if name in specs else 0


def _bias(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    size = _size(layer, call, "bias")
    if size:
        yield KernelSum("the gradient of its bias", batch * _places(call.output_shape), size, BFLOAT16)


def _dense(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    if layer.conventions.narrow_matmul:
        rows = batch * _places(call.output_shape)
        yield KernelSum("each of its outputs", call.input_shapes[0][-1] or 1, rows * _last(call.output_shape), FLOAT16)
        yield KernelSum("the gradient of its kernel", rows, _size(layer, call, "kernel"), FLOAT16)
    yield from _bias(layer, call, batch)


def _last(shape: Shape) -> int:
    return shape[-1] or 1


def _one_head(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    queries, keys = (_places(shape) for shape in call.input_shapes[:2])
    if layer.conventions.narrow_matmul:
        sums = batch * queries * _last(call.output_shape)
        yield KernelSum("what each query takes of the keys", keys, sums, FLOAT16)


def _convolution(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    seen = call.input_shapes[0] if isinstance(layer, Conv2DTranspose) else call.output_shape
    kernels = ("kernel", "pointwise_kernel")
    size = max(_size(layer, call, name) for name in kernels)
    yield KernelSum("the gradient of its kernel", batch * _places(seen), size, FLOAT16)
    yield from _bias(layer, call, batch)


def _depthwise(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    size = max(_size(layer, call, name) for name in ("kernel", "depthwise_kernel"))
    yield KernelSum("the gradient of its depthwise kernel", _places(call.output_shape), batch * size, FLOAT16)
    yield from _bias(layer, call, batch)


def _separable(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    size = _size(layer, call, "depthwise_kernel")
    yield KernelSum("the gradient of its depthwise kernel", _places(call.output_shape), batch * size, FLOAT16)
    yield from _convolution(layer, call, batch)


def _einsum(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    size = _size(layer, call, "kernel")
    yield KernelSum("the gradient of its kernel", batch * _places(call.output_shape), size, FLOAT16)
    yield from _bias(layer, call, batch)


def _attention(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    queries, keys = (_places(shape) for shape in call.input_shapes[:2])
    if isinstance(layer, Projected):
        sums = batch * layer.heads()[0] * queries * layer.widths()[1]
        yield KernelSum("what each query takes of the keys", keys, sums, FLOAT16)
    if not layer.conventions.keras3:
        size = _size(layer, call, "query/kernel")
        yield KernelSum("the gradient of its projections", batch * max(queries, keys), size, FLOAT16)


def _rows(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    if layer.policy.variable.low_precision:
        terms = batch * math.prod(size or 1 for size in call.input_shapes[0][1:])
        yield KernelSum("the gradient of a row of its table", terms, terms, layer.policy.variable)


def _steps(layer: Layer, call: Call, batch: int) -> Iterator[KernelSum]:
    if layer.policy.variable.low_precision:
        here = f"them in {layer.policy.variable.name} too, but not by eights"
        yield KernelSum("the gradient of its weights", call.input_shapes[0][1] or 1, 1, layer.policy.variable, here)


_OF_KIND: Mapping[type[Layer], Callable[[Layer, Call, int], Iterator[KernelSum]]] = {
    SeparableConv2D: _separable,
    DepthwiseConv2D: _depthwise,
    Conv2DTranspose: _convolution,
    Conv2D: _convolution,
    Dense: _dense,
    EinsumDense: _einsum,
    Projected: _attention,
    OneHead: _one_head,
    Embedding: _rows,
    TimeDistributed: _steps,
}
"""The sums of each kind of layer; the first kind that fits counts."""


def kernel_sums(case: Case) -> Iterator[Finding]:
    """Sums that differ from those of TensorFlow's CPU kernels by more than a rounding."""
    done = set()
    for call in case.subject.network.graph.calls:
        if call.layer.name not in done:
            done.add(call.layer.name)
            yield from _of_layer(call.layer, call, case.subject.batch_size)


def _of_layer(layer: Layer, call: Call, batch: int) -> Iterator[Finding]:
    """Yield the finding on the first sum of a layer that is too long; of a layer for every step, on its inner one."""
    inner = layer.layer if isinstance(layer, TimeDistributed) and not layer.steps_apart else layer
    found = next((sums for kind, sums in _OF_KIND.items() if isinstance(inner, kind)), None)
    for each in () if found is None else found(layer, call, batch):
        if inner.policy.compute is each.dtype and each.shows:
            yield _finding(layer, each)
            return


def _finding(layer: Layer, found: KernelSum) -> Finding:
    name = found.dtype.name
    here = "as this engine does" if found.reproduced else f"this engine adds {found.here or _WIDE}"
    return Finding(
        code="precision_loss",
        severity="info",
        layer=layer.name,
        why=f"{found.of.capitalize()} is a sum of {found.terms} numbers. TensorFlow's CPU kernel adds them one by one "
        f"in {name}, where a sum of numbers alike stops growing after {found.ones} and every addition rounds; {here}.",
        fix='Give the layer dtype "float32", or take smaller batches. Nothing is wrong where the sum is float32 here; '
        "training on TensorFlow's CPU will differ.",
        source="TF 2.4.4 and 2.21 on CPU, observed",
        evidence={"dtype": name, "count": found.terms, "ones_up_to": found.ones},
    )


KERNEL_SUM_RULES: tuple[Rule, ...] = (kernel_sums,)
