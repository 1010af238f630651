"""Cross-entropies of logits: the fused kernels of TensorFlow, whose backward is computed with the forward."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import BFLOAT16, DType
from engine.ops.activations import SIGMOID
from engine.ops.narrow_losses import SIGMOID_CROSSENTROPY_STEPS, SPARSE_SOFTMAX_CROSSENTROPY_STEPS
from engine.tape import Array, Op, Tensor, apply, rounded


def _log_probabilities(logits: Array, axis: int = -1) -> Array:
    shifted = np.subtract(logits, logits.max(axis=axis, keepdims=True), order="C")
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _sparse_forward(dtype: DType, logits: Array, labels: Array) -> tuple[Array, Any]:
    log_probabilities = _log_probabilities(logits)
    slope = np.exp(log_probabilities)
    by_row = slope.reshape(-1, slope.shape[-1])
    chosen = (np.arange(len(by_row)), labels.reshape(-1))
    losses = -log_probabilities.reshape(by_row.shape)[chosen].reshape(labels.shape)
    by_row[chosen] -= slope.dtype.type(1)
    return losses, rounded(slope, dtype)


def _per_row_backward(
    dtype: DType, gradient: Array, slope: Array, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    return (gradient[..., np.newaxis] * slope,)


def _dense_forward(dtype: DType, logits: Array, labels: Array, axis: int) -> tuple[Array, Any]:
    log_probabilities = _log_probabilities(logits, axis)
    losses = -(labels * log_probabilities).sum(axis=axis)
    return losses, (rounded(np.exp(log_probabilities) - labels, dtype), axis)


def _dense_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    slope, axis = saved
    return (np.expand_dims(gradient, axis) * slope,)


def _sigmoid_forward(dtype: DType, logits: Array, labels: Array) -> tuple[Array, Any]:
    losses = np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))
    probabilities, _ = SIGMOID.forward(dtype, logits)
    return losses, probabilities - labels


def _square_forward(dtype: DType, a: Array, b: Array) -> tuple[Array, Any]:
    difference = rounded(a - b, dtype)
    return difference * difference, difference


def _square_backward(
    dtype: DType, gradient: Array, difference: Array, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    slope = rounded(gradient + gradient, dtype) * difference  # the other way round, a large difference would overflow
    return slope if needed[0] else None, -slope if needed[1] else None


SQUARED_DIFFERENCE = Op("squared_difference", _square_forward, _square_backward)
SPARSE_SOFTMAX_CROSSENTROPY = Op("sparse_softmax_cross_entropy_with_logits", _sparse_forward, _per_row_backward)
SOFTMAX_CROSSENTROPY = Op("softmax_cross_entropy_with_logits", _dense_forward, _dense_backward)
SIGMOID_CROSSENTROPY = Op(
    "sigmoid_cross_entropy_with_logits",
    _sigmoid_forward,
    lambda dtype, gradient, slope, needed: (gradient * slope,),
)


def squared_difference(a: Tensor, b: Tensor) -> Tensor:
    """Return ``(a - b) ** 2`` of tensors of one shape."""
    return apply(SQUARED_DIFFERENCE, a, b)


def sparse_softmax_crossentropy(logits: Tensor, labels: Array) -> Tensor:
    """Return ``-log softmax(logits)[label]`` per row.

    Args:
        logits: shape (..., classes).
        labels: integers of shape (...), each in [0, classes).
    """
    steps = logits.dtype is BFLOAT16  # the one kernel of them that is not computed in float32
    return apply(SPARSE_SOFTMAX_CROSSENTROPY_STEPS if steps else SPARSE_SOFTMAX_CROSSENTROPY, logits, labels=labels)


def softmax_crossentropy(logits: Tensor, labels: Array, axis: int = -1) -> Tensor:
    """Return ``-sum(labels * log softmax(logits))`` over the axis of the classes; labels have the logits' shape."""
    return apply(SOFTMAX_CROSSENTROPY, logits, labels=labels.astype(logits.data.dtype, copy=False), axis=axis)


def sigmoid_crossentropy(logits: Tensor, labels: Array) -> Tensor:
    """Return the elementwise binary cross-entropy of logits, computed without overflow."""
    op = SIGMOID_CROSSENTROPY_STEPS if logits.dtype.low_precision else SIGMOID_CROSSENTROPY
    return apply(op, logits, labels=labels.astype(logits.data.dtype, copy=False))
