"""Rules about losses and metrics in a narrow dtype: sums that overflow, class numbers that do not fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine import losses
from engine.dtypes import FLOAT16, FLOAT32, DType
from engine.errors import ShapeMismatch
from engine.losses import Loss
from engine.losses.base import on_grid
from engine.metrics.accuracy import SparseCategoricalAccuracy
from engine.numerics.case import Case, Rule
from engine.numerics.findings import Finding
from engine.tape import Tensor

_MEANS = (
    losses.BinaryCrossentropy,
    losses.BinaryFocalCrossentropy,
    losses.Hinge,
    losses.LogCosh,
    losses.MeanAbsoluteError,
    losses.MeanAbsolutePercentageError,
    losses.MeanSquaredError,
    losses.MeanSquaredLogarithmicError,
    losses.Poisson,
    losses.SquaredHinge,
)
"""Losses that divide a sum over the last axis, formed in the dtype of the predictions (Keras 2)."""
_CROSSENTROPIES = (
    losses.BinaryCrossentropy,
    losses.BinaryFocalCrossentropy,
    losses.CategoricalCrossentropy,
    losses.CategoricalFocalCrossentropy,
    losses.KLDivergence,
    losses.SparseCategoricalCrossentropy,
)
_USUAL, _USUAL_CROSSENTROPY = 1000.0, 20.0
"""Means of terms up to which a finite sum needs no word: probabilities are clipped at 1e-7, whose logarithm is -16."""
_ROWS = 1024
"""Of the labels, that are looked at."""


def sums(case: Case) -> Iterator[Finding]:
    """Sums of a loss that overflow in float16 where their mean would fit."""
    line, loss = case.subject.conventions, case.loss
    if loss is None or line.keras3 or case.head_dtype is not FLOAT16 or isinstance(loss, losses.Huber):
        return
    shape = case.head_shape
    inner, outputs = _count(shape[1:-1]), shape[-1] or 1
    terms = _known_terms(case, loss)
    if isinstance(loss, _MEANS):
        yield from _sum_of(case, loss, f"the mean over {outputs} outputs", outputs, terms)
    if not line.float32_reduction and loss.reduction not in {"none", None}:
        labels = case.labels
        most = case.subject.batch_size if labels is None else min(case.subject.batch_size, len(labels))
        rows = most * inner
        yield from _sum_of(case, loss, f"the sum over a batch of {rows} losses", rows, terms)


def _count(shape: tuple[int | None, ...]) -> int:
    return int(np.prod([size or 1 for size in shape], dtype=np.int64))


def _known_terms(case: Case, loss: Loss) -> float | None:
    """Return the mean term of the loss before training, predictions being 0 or even; None without labels."""
    labels = case.labels
    if labels is None or loss.labels_are_classes:
        return None
    labels = np.asarray(labels)[:_ROWS]
    shape = (len(labels), *[size or 1 for size in case.head_shape[1:]])
    fill = 1 / shape[-1] if isinstance(loss, _CROSSENTROPIES) else 0.0
    with np.errstate(all="ignore"):
        try:
            found = loss.losses(labels, Tensor(np.full(shape, fill, np.float32), FLOAT32))
        except ShapeMismatch:  # an inspection does not check its data
            return None
    return float(found.data.mean())


def _sum_of(case: Case, loss: Loss, what: str, count: int, terms: float | None) -> Iterator[Finding]:
    limit = FLOAT16.max / count
    usual = _USUAL_CROSSENTROPY if isinstance(loss, _CROSSENTROPIES) else _USUAL
    certain = terms is not None and terms > limit
    if count < 2 or not (certain or limit < usual):
        return
    now = (
        f"With these labels and predictions of 0 it is {count} x {terms:.6g} = {count * terms:.6g} at once"
        if terms is not None and certain
        else f"It is infinite as soon as the mean exceeds {limit:.4g}"
    )
    beside = f"{count} x {limit:.4g} = {FLOAT16.max:g}"
    yield Finding(
        code="sum_overflow",
        severity="warning" if certain or terms is None else "info",
        layer=case.head,
        why=f"{loss.class_name} forms {what} in float16, by adding first and dividing then: beyond {FLOAT16.max:g} "
        f"the sum is infinite. {now}{'' if certain else f' ({beside})'}. The loss that is reported is then infinite, "
        "while gradients stay finite and steps are applied.",
        fix='Give the last layer dtype "float32", so that the loss is float32; smaller batches or scaled labels help '
        "too.",
        source="tf.reduce_mean and tf.reduce_sum of float16 on CPU (TF 2.4.4 and 2.21, observed); numpy/numpy#7930",
        evidence={
            "loss": loss.class_name,
            "count": count,
            "largest_mean": limit,
            "mean": terms,
            "sum": None if terms is None else count * terms,
            "max": FLOAT16.max,
        },
    )


def class_numbers(case: Case) -> Iterator[Finding]:
    """Class numbers that are rounded to the dtype of the predictions, so that others are meant."""
    dtype, classes = case.head_dtype, case.head_shape[-1]
    if not dtype.low_precision or classes is None:
        return
    exact = int(2 / dtype.epsilon)
    if classes <= exact + 1:
        return
    loss = case.loss
    if loss is not None and loss.labels_are_classes and case.subject.conventions.labels_as_predicted:
        yield _rounded_classes(case, dtype, classes, exact, loss.class_name, "trains class")
    if case.subject.conventions.keras3:
        for metric in case.metrics:
            if isinstance(metric, SparseCategoricalAccuracy):
                yield _rounded_classes(case, dtype, classes, exact, metric.class_name, "is counted as class")


def _rounded_classes(case: Case, dtype: DType, classes: int, exact: int, name: str, becomes: str) -> Finding:
    labels = case.labels
    beyond = None if labels is None else int((np.asarray(labels) > exact).sum())
    wrong = exact + 1
    held = int(on_grid(np.array([wrong]), dtype)[0])
    known = "" if beyond is None else f" {beyond} of these labels lie beyond {exact}."
    return Finding(
        code="class_numbers_rounded",
        severity="info" if beyond == 0 else "error" if becomes.startswith("trains") else "warning",
        layer=case.head,
        why=f"{name} casts class numbers to {dtype.name}, the dtype of the predictions, in which integers beyond "
        f"{exact} do not fit: label {wrong} {becomes} {held}. The model has {classes} classes.{known}",
        fix='Give the last layer dtype "float32".',
        source="tf.keras.losses.sparse_categorical_crossentropy of TF 2.4, keras.metrics of Keras 3.15 (observed); "
        "keras-team/keras#15012",
        evidence={"dtype": dtype.name, "classes": classes, "integers_up_to": exact, "labels_beyond": beyond},
    )


LOSS_RULES: tuple[Rule, ...] = (sums, class_numbers)
