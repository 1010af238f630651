"""What all metrics share: a frozen value that says how to count; what is counted lives in the TrainState.

Sources: ``keras.metrics`` of TF 2.4 and tf_keras 2.21, ``keras.src.metrics`` of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from engine.configured import Configured, optional, setting, text, unsupported_unless
from engine.conventions import TF24, Conventions
from engine.dtypes import as_dtype
from engine.errors import ShapeMismatch
from engine.losses.base import check_axes, fitted
from engine.tape import Array, Tensor

Shape = tuple[int | None, ...]
State = Mapping[str, Array]
"""What a metric has counted, under the names of Keras's metric variables."""


def _written_dtype(dtype: str | None, conventions: Conventions) -> str | None:
    """Return the dtype as configs show it: Keras 3 fills in floatx."""
    return conventions.floatx.name if dtype is None and conventions.keras3 else dtype


@dataclass(frozen=True, kw_only=True)
class Metric(Configured):
    """Base of all metrics. Source: ``keras.metrics.Metric``.

    Attributes:
        name: shown in logs.
        dtype: of what is counted; None for floatx.
        conventions: the line of Keras to follow; not part of the config.
    """

    takes_labels: ClassVar[bool] = True
    """Whether it compares predictions with labels, as ``compile`` needs it."""

    name: str | None = setting(optional(text), None)
    dtype: str | None = setting(unsupported_unless(None, "float32", "float64"), None, write=_written_dtype)
    conventions: Conventions = field(default=TF24, repr=False)

    @property
    def labels_are_classes(self) -> bool:
        """Whether labels hold class numbers rather than values of the prediction's shape."""
        return False

    @property
    def sees_masks(self) -> bool:
        """Whether what a prediction's mask leaves out does not count; in Keras 3 only means of functions see masks."""
        return not self.conventions.keras3

    @property
    def kind(self) -> np.dtype[Any]:
        """The numpy dtype of what is counted."""
        return self.conventions.floatx.storage if self.dtype is None else as_dtype(self.dtype).storage

    def shapes(self, output: Shape) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array of the state.

        Args:
            output: shape of the predictions, batch axis first.

        Raises:
            ShapeMismatch: the metric does not take such predictions.
        """
        raise AssertionError(f"{self.class_name} does not define its state")

    def takes(self, output: Shape) -> None:
        """Check that the metric takes predictions of a shape, batch axis first; nothing is allocated.

        Raises:
            ShapeMismatch: it does not.
        """
        self.check_axis(len(output))
        self.shapes(output)

    def check_axis(self, axes: int) -> None:
        """Check that predictions with so many axes have the one that the metric is set to. Raises: ShapeMismatch."""
        check_axes(self, axes)

    def initial(self, output: Shape = ()) -> dict[str, Array]:
        """Return the state before anything was seen: zeros."""
        return {name: np.zeros(shape, self.kind) for name, shape in self.shapes(output).items()}

    def updated(
        self, state: State, y_true: Array, y_pred: Tensor, sample_weight: Array | None = None
    ) -> dict[str, Array]:
        """Return the state after one more batch.

        Args:
            state: before; not written to.
            y_true: labels.
            y_pred: predictions, shape (batch, ...), with their mask if they carry one.
            sample_weight: what each sample, or each entry of a sample, counts.
        """
        if y_pred.mask is not None and self.sees_masks:
            mask = y_pred.mask.astype(self.kind)
            sample_weight = mask if sample_weight is None else fitted(np.asarray(sample_weight), mask.ndim) * mask
        self.check_axis(y_pred.ndim)
        added = self.counted(y_true, detached(y_pred), sample_weight)
        return {name: np.asarray(array + added[name], array.dtype) for name, array in state.items()}

    def counted(self, y_true: Array, y_pred: Tensor, sample_weight: Array | None) -> Mapping[str, Any]:
        """Return what a batch adds to each array of the state."""
        raise AssertionError(f"{self.class_name} does not define what it counts")

    def result(self, state: State) -> Array:
        """Return what was measured so far: shape (), or (n,) of a metric with several results."""
        raise AssertionError(f"{self.class_name} does not define its result")


def detached(tensor: Tensor) -> Tensor:
    """Return the same values off the tape: what metrics compute is never differentiated."""
    free = Tensor(tensor.data, tensor.dtype)
    free.logits = None if tensor.logits is None else Tensor(tensor.logits.data, tensor.logits.dtype)
    return free


def ratio(numerator: Any, denominator: Any) -> Array:
    """Return the quotient, 0 where the denominator is 0 (``tf.math.divide_no_nan``)."""
    numerator, denominator = np.asarray(numerator), np.asarray(denominator)
    nothing = denominator == 0
    return np.asarray(np.where(nothing, 0, numerator / np.where(nothing, 1, denominator)), numerator.dtype)


def aligned(values: Array, others: Array) -> tuple[Array, Array]:
    """Return both with the same number of axes: Keras adds or drops a last axis of size 1."""
    if values.ndim == others.ndim + 1 and values.shape[-1] == 1:
        return (values, others[..., np.newaxis]) if others.ndim == 1 else (values[..., 0], others)
    if others.ndim == values.ndim + 1 and others.shape[-1] == 1:
        return (values[..., np.newaxis], others) if values.ndim == 1 else (values, others[..., 0])
    return values, others


def places_of_largest(values: Array, axis: int = -1) -> Array:
    """Return the place of the largest along an axis, the first of ties; NaN is passed over (``tf.argmax``)."""
    values = np.asarray(values)
    lost = np.isnan(values)
    return np.asarray((np.where(lost, -np.inf, values) if lost.any() else values).argmax(axis=axis))


def same_shape(y_true: Array, y_pred: Tensor, kind: np.dtype[Any]) -> tuple[Array, Array]:
    """Return labels and predictions as numbers of a dtype and of one shape.

    Raises:
        ShapeMismatch: shapes differ in more than a last axis of size 1.
    """
    predictions, labels = aligned(y_pred.data.astype(kind, copy=False), np.asarray(y_true).astype(kind, copy=False))
    if labels.shape != predictions.shape:
        message = f"Labels of shape {list(labels.shape)} do not fit predictions of shape {list(predictions.shape)}."
        raise ShapeMismatch(message)
    return labels, predictions


def columns_of(output: Shape, metric: Metric) -> int:
    """Return the number of columns of predictions of shape (batch, columns).

    Raises:
        ShapeMismatch: predictions of another number of axes.
    """
    if len(output) != 2 or output[1] is None:
        raise ShapeMismatch(f"{metric.class_name} takes predictions of shape (batch, size), got {list(output)}.")
    return output[1]
