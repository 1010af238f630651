"""Attention of one head over sequences: by products, or by sums (additive)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from engine import ops
from engine.configured import any_integer, boolean, fraction, one_of, optional, setting
from engine.errors import ShapeMismatch
from engine.initializers import GlorotUniform, Ones
from engine.layers.base import Layer, Shape
from engine.layers.entering import Integers
from engine.layers.masks import attention_input
from engine.layers.noise import dropped
from engine.layers.operands import check_match
from engine.losses.sums import summed
from engine.run import Run
from engine.tape import Array, Tensor
from engine.weights import WeightSpec

SCORES = "bqd,bkd->bqk"
"""Products of queries and keys."""


def causal_mask(queries: int, keys: int) -> Array:
    """Return which key each query may see: itself and what came before."""
    return np.arange(queries)[:, np.newaxis] >= np.arange(keys)


def pairwise_sums(query: Tensor, key: Tensor) -> Tensor:
    """Return every query plus every key: (batch, queries, keys, n)."""
    return ops.add(
        ops.reshape(query, (*query.shape[:2], 1, query.shape[2])),
        ops.reshape(key, (key.shape[0], 1, *key.shape[1:])),
    )


@dataclass(frozen=True, kw_only=True)
class OneHead(Layer):
    """Base of attention without projections.

    Inputs query (batch, queries, n), value (batch, keys, m) and, if it differs, key (batch, keys, n).
    """

    integers: ClassVar[Integers] = "cast"

    merges: ClassVar[bool] = True
    arity: ClassVar[tuple[int, int]] = (2, 3)
    options: ClassVar[tuple[str, ...]] = ("training", "use_causal_mask")

    dropout: float = setting(fraction, 0.0)
    seed: int | None = setting(optional(any_integer), None, only="keras3")
    causal: bool = setting(boolean, False, only="set")

    def scores(self, run: Run, query: Tensor, key: Tensor) -> Tensor:
        """Return how much each query wants each key, before the softmax: (batch, queries, keys)."""
        raise AssertionError(f"{self.class_name} does not define scores")

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The queries, with the values' features."""
        if len(shapes) not in {2, 3}:
            raise ShapeMismatch(f"{self.class_name} {self.name!r} takes [query, value] or [query, value, key].")
        return (*shapes[0][:-1], shapes[1][-1])

    def call(
        self,
        run: Run,
        *inputs: Tensor,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attend."""
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        scores = self.scores(run, query, key)
        mask = None if value.mask is None else value.mask[:, np.newaxis, :]
        if use_causal_mask or self.causal:
            seen = causal_mask(scores.shape[-2], scores.shape[-1])
            mask = seen if mask is None else mask & seen
        weights = ops.softmax(attention_input(scores, mask, self.conventions))
        weights = dropped(run, weights, self.dropout, self.seed)
        result = self.product("bqk,bkd->bqd", weights, value)
        if query.mask is not None:
            kept = query.mask[..., np.newaxis].astype(result.data.dtype)
            result = ops.multiply(result, Tensor(kept, result.dtype))
        return [result, weights] if return_attention_scores else result

    def product(self, equation: str, left: Tensor, right: Tensor) -> Tensor:
        """Return what ``tf.matmul`` gives, for an equation of it."""
        line = self.conventions
        if line.narrow_matmul:
            return ops.einsum(equation, left, right, narrow=True, fused=line.fused_terms)
        return ops.batch_matmul(left, right, transpose_right=equation == SCORES)

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """The query's mask."""
        return inputs[0].mask if inputs else None


@dataclass(frozen=True, kw_only=True)
class Attention(OneHead):
    """Dot-product (Luong 2015) or additive-score attention of one head. Source: ``keras.layers.Attention``."""

    use_scale: bool = setting(boolean, False)
    score_mode: str = setting(one_of("dot", "concat"), "dot", only="newer")

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """The scale, and the weight of additive scores."""
        scale = (self.spec("scale", (), Ones()),) if self.use_scale else ()
        concat = (self.spec("concat_score_weight", (), Ones()),) if self.score_mode == "concat" else ()
        return (*scale, *concat)

    def scores(self, run: Run, query: Tensor, key: Tensor) -> Tensor:
        """Products, or tanh of sums, times what is learnt."""
        if self.score_mode == "dot":
            scores = self.product(SCORES, query, key)
            return ops.multiply(scores, self.weight(run, "scale")) if self.use_scale else scores
        wide = pairwise_sums(query, key)
        if self.use_scale:
            wide = ops.multiply(wide, self.weight(run, "scale"))
        total = summed(ops.tanh(wide), self.conventions, axis=-1)
        return ops.multiply(total, self.weight(run, "concat_score_weight"))


@dataclass(frozen=True, kw_only=True)
class AdditiveAttention(OneHead):
    """Attention by ``sum(scale * tanh(query + key))`` (Bahdanau 2015). Source: ``keras.layers.AdditiveAttention``."""

    use_scale: bool = setting(boolean, True)

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """The scale, a number for each feature of the query."""
        if not self.use_scale:
            return ()
        features = shapes[0][-1]
        if features is None:
            raise ShapeMismatch(f"AdditiveAttention {self.name!r} needs a known last axis, got {list(shapes[0])}.")
        return (self.spec("scale", (features,), GlorotUniform()),)

    def scores(self, run: Run, query: Tensor, key: Tensor) -> Tensor:
        """The sum over the features."""
        wide = ops.tanh(pairwise_sums(query, key))
        if self.use_scale:
            scale = self.weight(run, "scale")
            check_match("Mul", "y", wide.dtype, "x", scale.dtype)
            wide = ops.multiply(scale, wide)
        return summed(wide, self.conventions, axis=-1)
