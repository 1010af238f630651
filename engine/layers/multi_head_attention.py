"""Attention in many heads: projections of query, key and value, and of the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from engine import constraints, initializers, ops, regularizers
from engine.configured import (
    any_integer,
    boolean,
    dimensions,
    fraction,
    optional,
    positive_integer,
    refuse,
    setting,
    unsupported_unless,
)
from engine.constraints import Constraint
from engine.conventions import Conventions
from engine.errors import InvalidValue, ShapeMismatch, Unsupported
from engine.initializers import GlorotUniform, Initializer, Zeros
from engine.layers.attention import causal_mask
from engine.layers.base import Layer, Shape, Shapes
from engine.layers.entering import Integers
from engine.layers.masks import softmax_input, softmax_output, wide_softmax
from engine.layers.noise import dropped
from engine.layers.readers import axes
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Array, Tensor
from engine.weights import WeightSpec


@dataclass(frozen=True, kw_only=True)
class Projected(Layer):
    """Base of attention in many heads: projections of query, key and value, and of the result."""

    integers: ClassVar[Integers] = "cast"

    arity: ClassVar[tuple[int, int]] = (2, 3)
    arguments: ClassVar[tuple[str, ...]] = ("query", "value", "key")
    options: ClassVar[tuple[str, ...]] = ("training", "use_causal_mask")

    dropout: float = setting(fraction, 0.0)
    use_bias: bool = setting(boolean, True)
    use_gate: bool = setting(unsupported_unless(False), False, only="keras3")
    sliding_window: None = setting(unsupported_unless(None), None, only="keras3")
    kernel_initializer: Initializer = setting(initializers.read, GlorotUniform(), write=initializers.write)
    bias_initializer: Initializer = setting(initializers.read, Zeros(), write=initializers.write)
    kernel_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    bias_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    activity_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    kernel_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    bias_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    seed: int | None = setting(optional(any_integer), None, only="keras3")

    def heads(self) -> tuple[int, int]:
        """Return the number of query heads, and of key and value heads."""
        raise AssertionError(f"{self.class_name} does not say how many heads it has")

    def widths(self) -> tuple[int, int]:
        """Return the features of a query or key head, and of a value head."""
        raise AssertionError(f"{self.class_name} does not say how wide its heads are")

    def outputs(self, query: Shape) -> tuple[int, ...]:
        """Return the features of the result."""
        return (_features(self, query),)

    def attended(self, ndim: int) -> tuple[int, ...]:
        """Return the axes along which steps lie, for inputs of so many axes."""
        return (1,)

    def check_axes(self, shape: Shape) -> None:
        """Three axes: batch, steps, features. Raises: ShapeMismatch."""
        if len(shape) != 3:
            message = (
                f"{self.class_name} {self.name!r} takes query, value and maybe key of three axes, got {list(shape)}."
            )
            raise ShapeMismatch(message)

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Kernel and bias of query, key, value, and attention_output."""
        query, value, key = _three(self, shapes)
        many, few = self.heads()
        narrow, wide = self.widths()
        out = self.outputs(query)
        parts = (
            ("query", (_features(self, query), many, narrow), (many, narrow)),
            ("key", (_features(self, key), few, narrow), (few, narrow)),
            ("value", (_features(self, value), few, wide), (few, wide)),
            ("attention_output", (many, wide, *out), out),
        )
        specs: list[WeightSpec] = []
        for name, kernel, bias in parts:
            specs.append(self.spec(f"{name}/kernel", kernel, self.kernel_initializer, self.kernel_regularizer))
            if self.use_bias:
                specs.append(self.spec(f"{name}/bias", bias, self.bias_initializer, self.bias_regularizer))
        return tuple(specs)

    def compute_output_shape(self, *shapes: Shape) -> Shapes:
        """The queries, with the output's features."""
        query, _, _ = _three(self, shapes)
        return (*query[:-1], *self.outputs(query))

    def _projected(self, run: Run, x: Tensor, name: str) -> Tensor:
        """Return (batch, heads, steps, features) of a projection."""
        kernel = self.weight(run, f"{name}/kernel")
        if self.conventions.keras3:
            flat = ops.reshape(kernel, (kernel.shape[0], -1))
            y = ops.reshape(ops.matmul_each(x, flat), (*x.shape[:-1], *kernel.shape[1:]))
        else:
            y = self._einsum("btc,chd->bthd", x, kernel)
        if self.use_bias:
            y = ops.add(y, self.weight(run, f"{name}/bias"))
        return ops.transpose(y, (0, 2, 1, 3))

    def _einsum(self, equation: str, left: Tensor, right: Tensor) -> Tensor:
        """Return what ``tf.einsum`` gives."""
        return ops.einsum(equation, left, right, narrow=True, fused=self.conventions.fused_terms)

    def call(
        self,
        run: Run,
        *inputs: Tensor,
        attention_mask: Array | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        query_mask: Array | None = None,
        value_mask: Array | None = None,
        key_mask: Array | None = None,
        folded: bool = False,
    ) -> Any:
        """Project, attend in every head, project back; a key's or value's mask that is given goes before its own."""
        # Keras 2 casts the first argument only; the others are as good as cast, for they are multiplied with it.
        query, value, key = (self._entering(x) for x in (*inputs, inputs[1])[:3])
        value, key = _under(value, value_mask), _under(key, key_mask)
        many, few = self.heads()
        q = self._projected(run, query, "query")
        k, v = self._projected(run, key, "key"), self._projected(run, value, "value")
        if many != few:
            k, v = ops.repeat(k, many // few, axis=1), ops.repeat(v, many // few, axis=1)
        mask = self._mask(query, value, key, attention_mask, use_causal_mask)
        fused = self.conventions.keras3 and not (self.dropout or return_attention_scores or folded)
        weights = self._weights(q, k, mask, fused=fused)
        shown = weights
        weights = dropped(run, weights, self.dropout, self.seed)
        if fused or not self.conventions.keras3:
            mixed = self._einsum("bhts,bhsd->bthd", weights, v)
        else:
            mixed = ops.transpose(ops.batch_matmul(weights, v), (0, 2, 1, 3))
        result = self._output(run, mixed)
        return [result, shown] if return_attention_scores else result

    def _weights(self, q: Tensor, k: Tensor, mask: Array | None, *, fused: bool) -> Tensor:
        """Return how much each query takes of each key: (batch, heads, queries, keys).

        Keras 3 has a function for it, which scales in float32 after the product; else queries are scaled before it.
        """
        scale = 1 / math.sqrt(float(self.widths()[0]))
        if fused:
            return wide_softmax(self._einsum("bhtd,bhsd->bhts", q, k), scale, mask)
        q = ops.scale(q, float(np.float32(scale)))
        if self.conventions.keras3:
            scores = ops.batch_matmul(q, k, transpose_right=True)
        else:
            scores = self._einsum("bhsd,bhtd->bhts", k, q)
        if mask is None:
            return ops.softmax(scores)
        seen = np.broadcast_to(mask, scores.shape)
        y = ops.softmax(softmax_input(scores, seen, self.conventions))
        return softmax_output(y, seen, self.conventions)

    def _output(self, run: Run, mixed: Tensor) -> Tensor:
        kernel = self.weight(run, "attention_output/kernel")
        rows = kernel.shape[0] * kernel.shape[1]
        flat, wide = ops.reshape(mixed, (*mixed.shape[:2], rows)), ops.reshape(kernel, (rows, -1))
        y = ops.matmul_each(flat, wide) if self.conventions.keras3 else self._einsum("btr,ro->bto", flat, wide)
        y = ops.reshape(y, (*mixed.shape[:2], *kernel.shape[2:]))
        return ops.add(y, self.weight(run, "attention_output/bias")) if self.use_bias else y

    def _mask(self, query: Tensor, value: Tensor, key: Tensor, given: Array | None, causal: bool) -> Array | None:
        """Return the mask of shape (batch, 1, queries, keys) or one that broadcasts to it, or None."""
        parts: list[Array] = []
        counts = self.conventions.masked_layers
        if query.mask is not None and counts:
            parts.append(query.mask[:, np.newaxis, :, np.newaxis])
        keys = {id(x): x.mask for x in (value, key) if x.mask is not None and counts}
        parts.extend(mask[:, np.newaxis, np.newaxis, :] for mask in keys.values())
        if given is not None:
            whole = np.asarray(given, dtype=bool)
            parts.append(whole[:, np.newaxis] if whole.ndim == 3 else whole)
        if causal:
            parts.append(causal_mask(query.shape[1], key.shape[1])[np.newaxis, np.newaxis])
        if not parts:
            return None
        mask = parts[0]
        for part in parts[1:]:
            mask = mask & part
        return mask

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """The query's mask."""
        return inputs[0].mask if inputs and self.conventions.masked_layers else None


def _under(x: Tensor, mask: Array | None) -> Tensor:
    """Return the same tensor with another mask, if one is given."""
    if mask is None:
        return x
    marked = Tensor(x.data, x.dtype, x.node)
    marked.mask = np.asarray(mask, dtype=bool)
    return marked


def _three(layer: Projected, shapes: tuple[Shape, ...]) -> tuple[Shape, Shape, Shape]:
    if len(shapes) not in {2, 3} or len({len(shape) for shape in shapes}) > 1:
        shown = [list(shape) for shape in shapes]
        message = f"{layer.class_name} {layer.name!r} takes query, value and maybe key of as many axes, got {shown}."
        raise ShapeMismatch(message)
    layer.check_axes(shapes[0])
    return shapes[0], shapes[1], shapes[2] if len(shapes) > 2 else shapes[1]


def _features(layer: Layer, shape: Shape) -> int:
    if shape[-1] is None:
        raise ShapeMismatch(f"{layer.class_name} {layer.name!r} needs a known last axis, got shape {list(shape)}.")
    return shape[-1]


def _output_shape(key: str, value: Any) -> tuple[int, ...]:
    sizes = dimensions(key, [value] if isinstance(value, int) else value)
    return tuple(size or 1 for size in sizes)


def _attention_axes(key: str, value: Any) -> tuple[int, ...]:
    found = axes(key, value)
    if min(found) < 1 or len(set(found)) < len(found):
        raise refuse(key, "axes from 1 on, each once", value)
    return found


def _written_axes(given: tuple[int, ...] | None, conventions: Conventions) -> list[int] | None:
    """Return what configs show: Keras 3 fills in the axis of the steps when the layer is built."""
    return list(given) if given is not None else [1] if conventions.keras3 else None


@dataclass(frozen=True, kw_only=True)
class MultiHeadAttention(Projected):
    """Attention in many heads (Vaswani 2017). Source: ``keras.layers.MultiHeadAttention``."""

    num_heads: int = setting(positive_integer)
    key_dim: int = setting(positive_integer)
    value_dim: int | None = setting(optional(positive_integer), None)
    output_shape: tuple[int, ...] | None = setting(optional(_output_shape), None)
    attention_axes: tuple[int, ...] | None = setting(optional(_attention_axes), None, write=_written_axes)
    query_shape: Shape | None = setting(optional(dimensions), None, only="tf_keras alone")
    key_shape: Shape | None = setting(optional(dimensions), None, only="tf_keras alone")
    value_shape: Shape | None = setting(optional(dimensions), None, only="tf_keras alone")
    softmax_robust_masking: bool = setting(boolean, False, only="keras2 set")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "value_dim", self.value_dim or self.key_dim)

    def check_axes(self, shape: Shape) -> None:
        """Three axes or more, those attended over before the last; more than three have to be said by Keras 3."""
        last = len(shape) - 1
        if last < 2:
            super().check_axes(shape)
        if self.attention_axes is None and self.conventions.keras3 and last > 2:
            message = (
                f"MultiHeadAttention {self.name!r} has inputs of {last + 1} axes, so that `attention_axes` has to be "
                f"given, as Keras 3 writes it once a layer is built: {list(range(1, last))} for all of them."
            )
            raise ShapeMismatch(message, path=("attention_axes",))
        if max(self.attended(len(shape))) >= last:
            message = (
                f"MultiHeadAttention {self.name!r} has attention_axes {list(self.attention_axes or ())}, but its input "
                f"has {last + 1} axes (batch axis first), the last of which holds features."
            )
            raise ShapeMismatch(message, path=("attention_axes",))

    def attended(self, ndim: int) -> tuple[int, ...]:
        """The axes given, or all between batch and features."""
        return self.attention_axes or tuple(range(1, ndim - 1))

    def call(self, run: Run, *inputs: Tensor, **options: Any) -> Any:
        """Attend along one axis, or along several as if they were one, for each entry of the axes left out."""
        ndim, along = inputs[0].ndim, self.attended(inputs[0].ndim)
        if ndim == 3:
            result = super().call(run, *inputs, **options)
            if self.conventions.keras3:  # which takes the masks off its inputs: later layers see none
                for x in inputs:
                    x.mask = None
            return result
        asked = [name for name, value in options.items() if value is not None and value is not False]
        if asked or any(x.mask is not None for x in inputs):
            what = ", ".join(asked) or "masks"
            raise Unsupported(f"MultiHeadAttention {self.name!r} over {ndim} axes takes no {what}.")
        rest = tuple(axis for axis in range(1, ndim - 1) if axis not in along)
        order = (0, *rest, *along, ndim - 1)
        moved = [ops.transpose(x, order) for x in inputs]
        batch = moved[0].shape[: 1 + len(rest)]
        folded = [ops.reshape(x, (math.prod(batch), -1, x.shape[-1])) for x in moved]
        result = super().call(run, *folded, **options, folded=True)
        outputs = result.shape[2:]
        unfolded = ops.reshape(result, (*moved[0].shape[:-1], *outputs))
        back = tuple(int(place) for place in np.argsort(order[:-1]))
        return ops.transpose(unfolded, (*back, *range(ndim - 1, ndim - 1 + len(outputs))))

    def built(self, *shapes: Shape) -> MultiHeadAttention:
        """Return the layer with the shapes of its inputs, which tf_keras builds it with when it reads a config."""
        query, value, key = _three(self, shapes)
        return replace(self, query_shape=query, key_shape=key, value_shape=value)

    def heads(self) -> tuple[int, int]:
        """As many for keys as for queries."""
        return self.num_heads, self.num_heads

    def widths(self) -> tuple[int, int]:
        """key_dim, and value_dim or key_dim."""
        return self.key_dim, self.value_dim or self.key_dim

    def outputs(self, query: Shape) -> tuple[int, ...]:
        """``output_shape``, or the query's features."""
        return self.output_shape or super().outputs(query)


@dataclass(frozen=True, kw_only=True)
class GroupQueryAttention(Projected):
    """Attention whose query heads share key and value heads (Ainslie 2023).

    Source: ``keras.layers.GroupQueryAttention``.
    """

    head_dim: int = setting(positive_integer)
    num_query_heads: int = setting(positive_integer)
    num_key_value_heads: int = setting(positive_integer)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_query_heads % self.num_key_value_heads:
            message = (
                f"`num_query_heads` must be a multiple of `num_key_value_heads`, got {self.num_query_heads} and "
                f"{self.num_key_value_heads}."
            )
            raise InvalidValue(message, path=("num_key_value_heads",))

    def heads(self) -> tuple[int, int]:
        """Query heads, and key and value heads."""
        return self.num_query_heads, self.num_key_value_heads

    def widths(self) -> tuple[int, int]:
        """All heads are equally wide."""
        return self.head_dim, self.head_dim
