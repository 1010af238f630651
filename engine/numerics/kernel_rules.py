"""Rules about what a line of Keras cannot compute in 16 bits on TensorFlow, and this engine computes all the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.dtypes import BFLOAT16, FLOAT16, DType
from engine.metrics.overlap import Overlap
from engine.numerics.case import Case, Rule
from engine.numerics.findings import About, Finding

_FLOAT32_HEAD = 'Give the last layer dtype "float32".'
_FLOAT32_VARIABLES = "Keep variables in float32, as mixed policies do."


@dataclass(frozen=True)
class Lack:
    """What one line of Keras has no kernel for.

    Attributes:
        line: which.
        names: classes of losses, metrics or optimizers, or settings of optimizers.
        dtypes: of the predictions, or of the variables.
        reason: what is missing.
    """

    line: str
    names: tuple[str, ...]
    dtypes: tuple[DType, ...]
    reason: str


LOSSES = (
    Lack("tf2.4", ("CosineSimilarity",), (BFLOAT16,), "Rsqrt has no bfloat16 kernel on CPU"),
    Lack(
        "tf2.4",
        ("SparseCategoricalCrossentropy",),
        (BFLOAT16,),
        "SparseSoftmaxCrossEntropyWithLogits has no bfloat16 kernel",
    ),
)
SMOOTHED = (
    Lack(
        "tf2.4",
        ("BinaryCrossentropy", "CategoricalCrossentropy"),
        (FLOAT16, BFLOAT16),
        "label_smoothing is a float32 tensor, which multiplies no other",
    ),
)
METRICS = (
    Lack(
        "keras3",
        ("SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy"),
        (FLOAT16, BFLOAT16),
        "InTopKV2 takes predictions in float32 only",
    ),
    Lack(
        "tf_keras",
        ("F1Score", "FBetaScore", "R2Score"),
        (FLOAT16, BFLOAT16),
        "the metric takes predictions of its own dtype only, float32",
    ),
)
OPTIMIZERS = (Lack("tf2.4", ("Adamax",), (BFLOAT16,), "ResourceApplyAdaMax has no bfloat16 kernel"),)
CLIPPING = (Lack("tf2.4", ("global_clipnorm",), (BFLOAT16,), "L2Loss has no bfloat16 kernel"),)


def lacking(table: tuple[Lack, ...], line: str, name: str, dtype: DType) -> Lack | None:
    """Return the row of a table that says why a line cannot compute something in a dtype; None where it can."""
    return next((row for row in table if row.line == line and name in row.names and dtype in row.dtypes), None)


def of_head(case: Case) -> Iterator[Finding]:
    """A loss or metric that the model's line of Keras cannot compute of predictions in their dtype."""
    line, loss = case.subject.conventions.name, case.subject.loss
    if loss is not None:
        table = (*LOSSES, *SMOOTHED) if getattr(loss, "label_smoothing", 0) else LOSSES
        yield from _of_head(case, "loss", loss.class_name, lacking(table, line, loss.class_name, case.head_dtype))
    for metric in case.subject.metrics:
        ranked = getattr(metric, "from_sorted_ids", False)  # these need no kernel
        lack = None if ranked else lacking(METRICS, line, metric.class_name, case.head_dtype)
        yield from _of_head(case, "metric", metric.class_name, lack)


def of_variables(case: Case) -> Iterator[Finding]:
    """An optimizer, or the norm that it clips by, that the line cannot compute of variables in their dtype."""
    if case.subject.optimizer is None:
        return
    line, optimizer = case.subject.conventions.name, case.subject.optimizer.inner_optimizer
    clipped = optimizer.global_clipnorm is not None
    for dtype in case.variable_dtypes:
        yield from _of_variables(optimizer.class_name, dtype, lacking(OPTIMIZERS, line, optimizer.class_name, dtype))
        if clipped:
            yield from _of_variables("global_clipnorm", dtype, lacking(CLIPPING, line, "global_clipnorm", dtype))


def along_axes(case: Case) -> Iterator[Finding]:
    """An overlap of classes along another axis than the last: Keras 3 sums its few results along that axis too."""
    for metric in case.subject.metrics:
        axis = getattr(metric, "axis", -1)
        if case.subject.conventions.keras3 and isinstance(metric, Overlap) and axis not in {-1, 0}:
            lack = Lack("keras3", (), (), f"result() sums one number a class along axis {axis}")
            fix = "Put the classes last, and leave out `axis`."
            yield _finding("metric_without_kernel", case.head, metric.class_name, case.head_dtype, lack, fix, "model")


def _of_head(case: Case, what: str, name: str, lack: Lack | None) -> Iterator[Finding]:
    if lack is not None:
        yield _finding(f"{what}_without_kernel", case.head, name, case.head_dtype, lack, _FLOAT32_HEAD, "model")


def _of_variables(name: str, dtype: DType, lack: Lack | None) -> Iterator[Finding]:
    if lack is not None:
        yield _finding("optimizer_without_kernel", None, name, dtype, lack, _FLOAT32_VARIABLES, "optimizer")


def _finding(code: str, layer: str | None, name: str, dtype: DType, lack: Lack, fix: str, about: About) -> Finding:
    return Finding(
        code=code,
        severity="warning",
        layer=layer,
        why=f"{lack.line} cannot compute {name} in {dtype.name}: {lack.reason}, and training ends with an error there. "
        "Here it is computed, so results cannot be compared with that line's.",
        fix=fix,
        source="fit() of Keras 3.15.1, tf_keras 2.21 and TF 2.4.4 on CPU, observed",
        evidence={"name": name, "dtype": dtype.name},
        about=about,
    )


KERNEL_RULES: tuple[Rule, ...] = (of_head, of_variables, along_axes)
