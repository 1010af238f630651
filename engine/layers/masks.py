"""What masks do to scores before a softmax, and to other inputs, in each line of Keras."""

from __future__ import annotations

import numpy as np

from engine import ops
from engine.conventions import Conventions
from engine.dtypes import FLOAT16, FLOAT32, FLOAT64, DType
from engine.errors import ShapeMismatch
from engine.tape import Array, Tensor

_FAR = 1e9


def spread(described: str, mask: Array | None, shape: tuple[int, ...]) -> Array:
    """Return a mask broadcast to an input, from the last axis on, as Keras does where it uses a mask as it is.

    Args:
        described: the layer, for the message.
        mask: true where something counts; None for everywhere.
        shape: of the input.

    Raises:
        ShapeMismatch: it cannot be broadcast so.
    """
    if mask is None:
        return np.ones(shape, bool)
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise ShapeMismatch(
            f"{described} gets a mask of shape {list(mask.shape)} with its input of shape {list(shape)}: Keras "
            "broadcasts the mask to the input from the last axis, which does not fit. Put the layer before the one "
            "that makes the mask."
        ) from None


def _low(dtype: DType, conventions: Conventions) -> float:
    """Return what Keras's Softmax puts in place of what a mask leaves out, or adds to it."""
    if dtype is not FLOAT16:
        return -_FAR
    return -3e4 if conventions.keras3 else -FLOAT16.max


def softmax_input(x: Tensor, mask: Array, conventions: Conventions) -> Tensor:
    """Return the input of a Softmax layer under a mask that broadcasts to it: Keras 3 replaces, Keras 2 adds."""
    low = _low(x.dtype, conventions)
    if conventions.keras3:
        return ops.where(mask, x, ops.constant(low, x.dtype))
    return ops.add(x, ops.constant((1 - np.asarray(mask, x.data.dtype)) * x.data.dtype.type(low), x.dtype))


def softmax_output(y: Tensor, mask: Array, conventions: Conventions) -> Tensor:
    """Return the output of a Softmax layer under a mask: Keras 3 sets what it leaves out to 0."""
    return ops.where(mask, y, ops.constant(0, y.dtype)) if conventions.keras3 else y


def attention_input(scores: Tensor, mask: Array | None, conventions: Conventions) -> Tensor:
    """Return the scores of Attention and AdditiveAttention under a mask: a large number less where it is false.

    A row that is masked out altogether keeps the order of its scores as far as the dtype can tell them apart.
    """
    if mask is None:
        return scores
    far = ops.constant(FLOAT16.max if scores.dtype is FLOAT16 else _FAR, scores.dtype)
    if conventions.keras3:
        return ops.where(mask, scores, ops.subtract(scores, far))
    padding = Tensor(1 - np.asarray(mask, scores.data.dtype), scores.dtype)
    return ops.subtract(scores, ops.multiply(far, padding))


def wide_softmax(logits: Tensor, scale: float, mask: Array | None) -> Tensor:
    """Return the probabilities of ``keras.ops.dot_product_attention``: scaled, masked and normalized in float32.

    Args:
        logits: products of queries and keys, on the grid of the compute dtype.
        scale: of the logits.
        mask: of a shape that broadcasts to theirs, or None.
    """
    wide = ops.scale(ops.cast(logits, FLOAT64 if logits.dtype is FLOAT64 else FLOAT32), scale)
    if mask is not None:
        wide = ops.where(mask, wide, ops.constant(-0.7 * float(np.finfo(wide.data.dtype).max), wide.dtype))
    return ops.cast(ops.softmax(wide), logits.dtype)
