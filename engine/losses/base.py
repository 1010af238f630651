"""What all losses share: labels brought to the shape of the predictions, weights, masks, the reduction.

Keras 2 computes a loss in the dtype of the prediction, so a float16 head gives a float16 loss (TF 2.4 reduces it in
float32 and casts the scalar back); Keras 3 casts predictions to ``floatx`` first.
Sources: ``keras.losses`` and ``keras.backend`` of TF 2.4; ``keras.src.losses`` of Keras 3.15.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from engine import ops
from engine.configured import Configured, one_of, optional, setting, text, unsupported_unless
from engine.conventions import TF24, Conventions
from engine.dtypes import FLOAT32, FLOAT64, DType
from engine.errors import DataInvalid, ShapeMismatch
from engine.losses.sums import averaged, summed
from engine.ops.reduce import Axes
from engine.tape import Array, Tensor, constant, rounded

EPSILON = 1e-7
"""Keras's ``backend.epsilon()``, the fuzz of the probability paths."""

_REDUCTIONS = ("auto", "none", "sum", "sum_over_batch_size", "mean", "mean_with_sample_weight", None)


def _written_reduction(reduction: str | None, conventions: Conventions) -> str | None:
    return "sum_over_batch_size" if conventions.keras3 and reduction == "auto" else reduction


@dataclass(frozen=True, kw_only=True)
class Loss(Configured):
    """Base of all losses. Source: ``keras.losses.Loss``.

    Attributes:
        reduction: "sum_over_batch_size" ("auto" of Keras 2) divides by the number of losses, "sum", "none",
            "mean" likewise, or "mean_with_sample_weight", which divides by the sum of weights.
        name: shown in logs.
        dtype: Keras 3's dtype of the computation; only its default is supported.
        fn: name of the function, which tf_keras writes beside a class that says it already.
        conventions: the line of Keras to follow; not part of the config.
    """

    labels_are_classes: ClassVar[bool] = False
    """Whether y_true holds class numbers rather than values of the prediction's shape."""

    reduction: str | None = setting(one_of(*_REDUCTIONS), "auto", write=_written_reduction)
    name: str | None = setting(optional(text), None)
    dtype: str | None = setting(unsupported_unless(None, "float32", "float64"), None, only="set")
    fn: str | None = setting(optional(text), None, only="keras2 set")
    conventions: Conventions = field(default=TF24, repr=False)

    def losses(self, y_true: Array, y_pred: Tensor) -> Tensor:
        """Return the losses before reduction: as a rule y_pred's shape without its last axis."""
        raise AssertionError(f"{self.class_name} does not define its losses")

    def takes(self, axes: int) -> None:
        """Check that predictions with so many axes, the batch's among them, have those that the loss names.

        Raises:
            ShapeMismatch: they have not; ``path`` is that of the setting in a serialized loss.
        """
        check_axes(self, axes)

    def seen(self, y_true: Array, dtype: DType) -> Array:
        """Return labels as the loss reads them beside predictions of a dtype."""
        return y_true

    def valid(self, y_true: Array) -> Array | None:
        """Return which losses count, of the losses' shape, or None where all do."""
        return None

    def _sum(self, x: Tensor, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
        return summed(x, self.conventions, axis, keepdims=keepdims)

    def _mean(self, x: Tensor, axis: int) -> Tensor:
        return averaged(x, self.conventions, axis)

    def __call__(
        self, y_true: Array, y_pred: Tensor, sample_weight: Array | None = None, mask: Array | None = None
    ) -> Tensor:
        """Return the reduced loss.

        Args:
            y_true: labels; class numbers, or values of y_pred's shape.
            y_pred: predictions, shape (batch, ...).
            sample_weight: multiplies the losses, shape (batch,) or broadcastable to them.
            mask: which losses count, of their shape; by default the mask that the prediction carries.

        Returns:
            Shape () in the dtype that Keras computes in; the weighted losses themselves for reduction "none".
        """
        mask = y_pred.mask if mask is None else np.asarray(mask, bool)
        self.takes(y_pred.ndim)
        if self.conventions.floatx_losses and y_pred.dtype is not self.conventions.floatx:
            y_pred = ops.cast(y_pred, self.conventions.floatx)
        own = self.valid(y_true)
        if own is not None:
            mask = own if mask is None else own & mask
        return self._reduced(self.losses(y_true, y_pred), sample_weight, mask)

    def _reduced(self, losses: Tensor, sample_weight: Array | None, mask: Array | None) -> Tensor:
        dtype = losses.dtype
        wide = ops.cast(losses, FLOAT32) if self.conventions.float32_reduction else losses
        weights = self._weights(wide.dtype, sample_weight, mask)
        if weights is not None:
            if self._keeps_column(wide.ndim, weights):
                wide = ops.reshape(wide, (wide.shape[0], 1))
            weights = fitted(weights, wide.ndim)
            check_weights(weights, wide.shape)
            wide = ops.multiply(wide, Tensor(weights, wide.dtype))
        total = self._total(wide, weights)
        return ops.cast(total, dtype)

    def _weights(self, dtype: DType, sample_weight: Array | None, mask: Array | None) -> Array | None:
        weights = None if sample_weight is None else on_grid(sample_weight, dtype)
        if mask is None:
            return weights
        counting = self._counting(on_grid(mask, dtype), dtype)
        if weights is None:
            return counting
        fitting = counting[:, np.newaxis] if self._keeps_column(counting.ndim, weights) else counting
        return rounded(fitted(weights, fitting.ndim) * fitting, dtype)

    def _counting(self, mask: Array, dtype: DType) -> Array:
        """Return what a mask makes of the losses: where all are averaged, the mean of those that count."""
        if not (self.conventions.mean_of_unmasked and self.reduction in {"auto", "mean", "sum_over_batch_size"}):
            return mask
        total, valid = (self._sum(Tensor(array, dtype)).data for array in (np.ones_like(mask), mask))
        if not valid and self.conventions.keras3:
            return mask  # all zeros, as the loss is then; in tf_keras it is not a number
        return rounded(mask * rounded(np.asarray(total / valid), dtype), dtype)

    def _keeps_column(self, ndim: int, weights: Array) -> bool:
        """Whether a column of weights makes a column of losses (Keras 3), or itself becomes flat (Keras 2)."""
        return self.conventions.floatx_losses and ndim == 1 and weights.ndim == 2 and weights.shape[-1] == 1

    def _total(self, losses: Tensor, weights: Array | None) -> Tensor:
        if self.reduction in {"none", None} or losses.ndim == 0:
            return losses
        total = self._sum(losses)
        if self.reduction == "sum":
            return total
        count: Any = losses.data.size
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            count = weights.sum(dtype=losses.data.dtype)  # as given: not once per loss that a weight stands for
        return ops.divide(total, constant(count, losses.dtype)) if count else ops.scale(total, 0.0)


def fitted(weights: Array, ndim: int) -> Array:
    """Return sample weights with as many axes as the losses: Keras drops or adds a last axis of size 1."""
    if weights.ndim == ndim + 1 and weights.shape[-1] == 1:
        return weights[..., 0]
    while weights.ndim < ndim:
        weights = weights[..., np.newaxis]
    return weights


def check_weights(weights: Array, shape: tuple[int, ...]) -> None:
    """Check that sample weights fit losses, or a metric's values, of a shape.

    Raises:
        ShapeMismatch: they do not broadcast.
    """
    if any(1 != have != want for have, want in zip(weights.shape[::-1], shape[::-1], strict=False)):
        message = (
            f"Sample weights of shape {list(weights.shape)} do not fit values of shape {list(shape)}, which the loss "
            "or metric gives. Where it is set to the axis of the batch, it gives none a row, and takes no weights."
        )
        raise ShapeMismatch(message, path=("sample_weight",))


def same_rank(y_true: Array, y_pred: Tensor) -> tuple[Tensor, Tensor]:
    """Return labels on the grid of the predictions' dtype, and predictions, both of one shape.

    Keras adds or drops a last axis of size 1.

    Raises:
        ShapeMismatch: shapes differ in more than that.
    """
    labels = labels_like(y_true, y_pred)
    if labels.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
        labels = Tensor(labels.data[..., np.newaxis], labels.dtype)
    elif labels.ndim == y_pred.ndim + 1 and labels.shape[-1] == 1:
        if y_pred.ndim == 1:
            y_pred = ops.reshape(y_pred, (-1, 1))
        else:
            labels = Tensor(labels.data[..., 0], labels.dtype)
    if labels.shape != y_pred.shape:
        message = f"Labels of shape {list(labels.shape)} do not fit predictions of shape {list(y_pred.shape)}."
        raise ShapeMismatch(message)
    return labels, y_pred


def labels_like(y_true: Array, y_pred: Tensor) -> Tensor:
    """Return labels as a constant on the grid of the predictions' dtype."""
    return Tensor(on_grid(y_true, y_pred.dtype), y_pred.dtype)


def check_axes(of: Configured, axes: int) -> None:
    """Check that predictions with so many axes have the one, or those, that a loss or metric is set to.

    Raises:
        ShapeMismatch: they have not; ``path`` is that of the setting in a serialized object.
    """
    axis = getattr(of, "axis", None)
    given = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
    if len({each % axes for each in given if -axes <= each < axes}) < len(given):
        message = (
            f"{of.class_name} is set to axis {axis}, but the output has {axes} axes, the batch's among them: "
            f"give numbers from {-axes} to {axes - 1}, each axis once."
        )
        raise ShapeMismatch(message, path=("config", "axis"))


def on_grid(values: Array, dtype: DType) -> Array:
    """Return labels or weights as numbers of a dtype."""
    values = np.asarray(values)
    if dtype.low_precision:
        return ops.cast(Tensor(values.astype(np.float64), FLOAT64), dtype).data
    return values.astype(dtype.storage, copy=False)


def row_labels(y_true: Array, y_pred: Tensor) -> Array:
    """Return class numbers, one a row of predictions: without a last axis of size 1.

    Raises:
        ShapeMismatch: not one label a row.
    """
    labels = np.asarray(y_true)
    if labels.ndim == y_pred.ndim and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.shape != y_pred.shape[:-1]:
        raise ShapeMismatch(
            f"Class labels of shape {list(labels.shape)} do not fit predictions of shape {list(y_pred.shape)}: "
            "one label a row is wanted."
        )
    return labels


def at_least(tensor: Tensor, floor: float) -> Tensor:
    """Return ``max(tensor, floor)``, the floor rounded to the dtype."""
    return ops.maximum_scalar(tensor, float(constant(floor, tensor.dtype).data))


def check_classes(labels: Array, classes: int) -> None:
    """Check class numbers before they are used as places.

    Raises:
        DataInvalid: one is not among the classes (in TF 2.4, perhaps because float16 rounded it up).
    """
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        strange = labels.min() if labels.min() < 0 else labels.max()
        message = f"Label {strange} is none of the {classes} classes, which are numbered from 0 to {classes - 1}."
        raise DataInvalid(message, code="label_out_of_range", path=("y",))


def one_minus(tensor: Tensor) -> Tensor:
    """Return ``1 - tensor``."""
    return ops.subtract(constant(1, tensor.dtype), tensor)
