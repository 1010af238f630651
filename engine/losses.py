"""Loss functions: per-sample losses in the dtype Keras computes them in, then a reduction.

Keras 2 computes a loss in the dtype of the prediction, reduces it in float32 and casts the scalar back, so a float16
head gives a float16 loss; Keras 3 casts predictions to ``floatx`` first.
Sources: ``keras.losses`` and ``keras.backend`` of TF 2.4; ``keras.src.losses`` of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from engine import ops
from engine.configured import (
    Configured,
    any_integer,
    boolean,
    choose,
    fraction,
    integer,
    one_of,
    optional,
    refuse,
    serialized,
    setting,
    split_serialized,
    text,
    unsupported_unless,
)
from engine.conventions import TF24, Conventions
from engine.dtypes import FLOAT32
from engine.errors import ShapeMismatch, located
from engine.tape import Array, Tensor, constant

EPSILON = 1e-7
"""Keras's ``backend.epsilon()``, the fuzz of the probability paths."""

_REDUCTIONS = ("auto", "none", "sum", "sum_over_batch_size", "mean", "mean_with_sample_weight", None)


@dataclass(frozen=True, kw_only=True)
class Loss(Configured):
    """Base of all losses. Source: ``keras.losses.Loss``.

    Attributes:
        reduction: "sum_over_batch_size" ("auto" of Keras 2) divides by the number of losses, "sum", "none",
            "mean" likewise, or "mean_with_sample_weight", which divides by the sum of weights.
        name: shown in logs.
        dtype: Keras 3's dtype of the computation; only its default is supported.
        conventions: the line of Keras to follow; not part of the config.
    """

    labels_are_classes: ClassVar[bool] = False
    """Whether y_true holds class numbers rather than values of the prediction's shape."""

    reduction: str | None = setting(one_of(*_REDUCTIONS), "auto")
    name: str | None = setting(optional(text), None)
    dtype: str | None = setting(unsupported_unless(None, "float32", "float64"), None, only="set")
    conventions: Conventions = field(default=TF24, repr=False)

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Return the losses before reduction: y_pred's shape without its last axis."""
        raise AssertionError(f"{self.class_name} does not define its losses")

    def valid(self, y_true: Array) -> Array | None:
        """Return which losses count, of the losses' shape, or None where all do."""
        return None

    def __call__(
        self, y_true: Array, y_pred: Tensor, sample_weight: Array | None = None, mask: Array | None = None
    ) -> Tensor:
        """Return the reduced loss.

        Args:
            y_true: labels; class numbers, or values of y_pred's shape.
            y_pred: predictions, shape (batch, ...).
            sample_weight: multiplies the losses, shape (batch,) or broadcastable to them.
            mask: which losses count, of their shape: the mask that a prediction carries.

        Returns:
            Shape () in the dtype that Keras computes in; the weighted losses themselves for reduction "none".
        """
        if self.conventions.floatx_losses and y_pred.dtype is not self.conventions.floatx:
            y_pred = ops.cast(y_pred, self.conventions.floatx)
        own = self.valid(y_true)
        if own is not None:
            mask = own if mask is None else own & np.asarray(mask, bool)
        return self._reduced(self.losses(y_true, y_pred), sample_weight, mask)

    def _reduced(self, losses: Tensor, sample_weight: Array | None, mask: Array | None) -> Tensor:
        dtype = losses.dtype
        wide = losses if self.conventions.floatx_losses else ops.cast(losses, FLOAT32)
        weights = self._weights(wide.data.dtype, sample_weight, mask)
        if weights is not None:
            if self.conventions.floatx_losses and wide.ndim == 1 and weights.ndim == 2 and weights.shape[-1] == 1:
                wide = ops.reshape(wide, (wide.shape[0], 1))  # Keras 3 adds the axis here, Keras 2 drops it there
            weights = _fitted(weights, wide.ndim)
            wide = ops.multiply(wide, Tensor(weights, wide.dtype))
        total = self._total(wide, weights)
        return ops.cast(total, dtype)

    def _weights(self, kind: np.dtype[Any], sample_weight: Array | None, mask: Array | None) -> Array | None:
        weights = None if sample_weight is None else np.asarray(sample_weight, kind)
        if mask is None:
            return weights
        counting = np.asarray(mask, kind)
        if self.conventions.floatx_losses and self.reduction in {"auto", "mean", "sum_over_batch_size"}:
            # So that dividing by the number of all losses gives the mean of those that count.
            counting = counting * (kind.type(counting.size) / counting.sum(dtype=kind))
        return counting if weights is None else _fitted(weights, counting.ndim) * counting

    def _total(self, losses: Tensor, weights: Array | None) -> Tensor:
        if self.reduction in {"none", None}:
            return losses
        total = ops.reduce_sum(losses)
        if self.reduction == "sum":
            return total
        count: Any = losses.data.size
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            count = weights.sum(dtype=losses.data.dtype)  # as given: not once per loss that a weight stands for
        return ops.divide(total, constant(count, losses.dtype)) if count else ops.scale(total, 0.0)


def _fitted(weights: Array, ndim: int) -> Array:
    """Return sample weights with as many axes as the losses: Keras drops or adds a last axis of size 1."""
    if weights.ndim == ndim + 1 and weights.shape[-1] == 1:
        return weights[..., 0]
    while weights.ndim < ndim:
        weights = weights[..., np.newaxis]
    return weights


def _same_rank(y_true: Array, y_pred: Tensor) -> tuple[Array, Tensor]:
    """Return labels as numbers of y_pred's dtype, and both with the same number of axes."""
    values = np.asarray(y_true).astype(y_pred.data.dtype, copy=False)
    if values.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
        values = values[..., np.newaxis]
    elif values.ndim == y_pred.ndim + 1 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.shape != y_pred.shape:
        message = f"Labels of shape {list(values.shape)} do not fit predictions of shape {list(y_pred.shape)}."
        raise ShapeMismatch(message)
    return ops.cast(Tensor(values, y_pred.dtype), y_pred.dtype).data, y_pred


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """``mean((y_pred - y_true) ** 2)`` over the last axis."""

    name: str | None = setting(optional(text), "mean_squared_error")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        values, y_pred = _same_rank(y_true, y_pred)
        return ops.mean(ops.square(ops.subtract(y_pred, Tensor(values, y_pred.dtype))), axis=-1)


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """``-y log p - (1 - y) log(1 - p)``, mean over the last axis; the logits of a sigmoid head are used directly."""

    name: str | None = setting(optional(text), "binary_crossentropy")
    from_logits: bool = setting(boolean, False)
    label_smoothing: float = setting(fraction, 0.0)
    axis: int = setting(integer(-1, "-1"), -1, only="keras3")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Mean over the last axis, in y_pred's dtype."""
        values, y_pred = _same_rank(y_true, y_pred)
        if self.label_smoothing:
            kind = values.dtype.type
            values = values * kind(1 - self.label_smoothing) + kind(0.5 * self.label_smoothing)
        logits = y_pred if self.from_logits else y_pred.logits
        if logits is not None:
            return ops.mean(ops.sigmoid_crossentropy(logits, values), axis=-1)
        return ops.mean(self._of_probabilities(Tensor(values, y_pred.dtype), y_pred), axis=-1)

    def _of_probabilities(self, values: Tensor, y_pred: Tensor) -> Tensor:
        one = constant(1, y_pred.dtype)
        p = ops.clip(y_pred, EPSILON, 1 - EPSILON)
        positive, negative = p, ops.subtract(one, p)
        if not self.conventions.clipped_binary_logs:
            fuzz = constant(EPSILON, y_pred.dtype)
            positive, negative = ops.add(positive, fuzz), ops.add(negative, fuzz)
        likelihood = ops.add(
            ops.multiply(values, ops.log(positive)), ops.multiply(ops.subtract(one, values), ops.log(negative))
        )
        return ops.negative(likelihood)


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """``-sum(y log p)`` over the last axis, of one-hot (or soft) labels; logits of a softmax head are used directly."""

    name: str | None = setting(optional(text), "categorical_crossentropy")
    from_logits: bool = setting(boolean, False)
    label_smoothing: float = setting(fraction, 0.0)
    axis: int = setting(integer(-1, "-1"), -1, only="keras3")

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """One loss a row, in y_pred's dtype."""
        values, y_pred = _same_rank(y_true, y_pred)
        if self.label_smoothing:
            kind = values.dtype.type
            values = values * kind(1 - self.label_smoothing) + kind(self.label_smoothing / values.shape[-1])
        logits = y_pred if self.from_logits else y_pred.logits
        if logits is not None:
            return ops.softmax_crossentropy(logits, values)
        p = ops.divide(y_pred, ops.reduce_sum(y_pred, axis=-1, keepdims=True))
        logs = ops.log(ops.clip(p, EPSILON, 1 - EPSILON))
        return ops.negative(ops.reduce_sum(ops.multiply(Tensor(values, y_pred.dtype), logs), axis=-1))


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """``-log p[label]`` of class numbers; the logits of a softmax head are used directly."""

    labels_are_classes: ClassVar[bool] = True

    name: str | None = setting(optional(text), "sparse_categorical_crossentropy")
    from_logits: bool = setting(boolean, False)
    ignore_class: int | None = setting(optional(any_integer), None, only="keras3")
    axis: int = setting(integer(-1, "-1"), -1, only="set")

    def valid(self, y_true: Array) -> Array | None:
        """Rows of any class but the one to ignore."""
        return None if self.ignore_class is None else np.asarray(y_true) != self.ignore_class

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """One loss a row, in y_pred's dtype."""
        labels = np.asarray(y_true)
        if labels.ndim == y_pred.ndim and labels.shape[-1] == 1:
            labels = labels[..., 0]
        if labels.shape != y_pred.shape[:-1]:
            raise ShapeMismatch(
                f"Class labels of shape {list(labels.shape)} do not fit predictions of shape {list(y_pred.shape)}: "
                "one label a row is wanted."
            )
        labels = labels.astype(np.int64)
        kept = None if self.ignore_class is None else labels != self.ignore_class
        chosen = labels if kept is None else np.where(kept, labels, 0)
        losses = ops.sparse_softmax_crossentropy(self._logits(y_pred), chosen)
        if kept is None:
            return losses
        return ops.multiply(losses, Tensor(kept.astype(losses.data.dtype), losses.dtype))

    def _logits(self, y_pred: Tensor) -> Tensor:
        logits = y_pred if self.from_logits else y_pred.logits
        # The logarithm of clipped probabilities stands for logits: the kernel renormalizes it.
        return ops.log(ops.clip(y_pred, EPSILON, 1 - EPSILON)) if logits is None else logits


LOSSES: Mapping[str, type[Loss]] = MappingProxyType(
    {
        loss.class_name: loss
        for loss in (BinaryCrossentropy, CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy)
    }
)
"""Every loss class by its Keras name."""

_ALIASES = {
    "binary_crossentropy": BinaryCrossentropy,
    "bce": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
}
NAMES: Mapping[str, type[Loss]] = MappingProxyType({**_ALIASES, **LOSSES})
"""Every name that stands for a loss with its defaults."""


def get(identifier: Any, conventions: Conventions = TF24) -> Loss:
    """Read a loss: a name, a serialized dict of Keras 2 or 3, or a Loss.

    Raises:
        Unsupported: an unknown name or class.
        InvalidValue: not an identifier.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, str):
        cls: type[Loss] = choose("loss", NAMES, identifier)
        return cls(conventions=conventions)
    if isinstance(identifier, Mapping):
        return deserialize(identifier, conventions)
    raise refuse("loss", "the name of a loss or a serialized loss", identifier)


def deserialize(config: Mapping[str, Any], conventions: Conventions = TF24) -> Loss:
    """Return the loss that ``{"class_name", "config"}`` describes."""
    if isinstance(config.get("config"), str):  # Keras 3 writes a plain function so
        return get(config["config"], conventions)
    class_name, inner = split_serialized("loss", config)
    cls: type[Loss] = choose("loss", LOSSES, class_name)
    with located("config"):
        return cls.from_config(inner, conventions=conventions)


def serialize(loss: Loss, conventions: Conventions | None = None) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of a loss, in the spelling of its line of Keras."""
    return serialized(loss, conventions or loss.conventions, "keras.losses")
