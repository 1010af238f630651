"""Rules about metrics that the model's line of Keras refuses to compute, and that are computed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.metrics import Metric
from engine.metrics.overlap import Overlap
from engine.numerics.case import Case, Rule
from engine.numerics.findings import Finding

_TOP = "InTopKV2 takes predictions in float32 only"
_OWN = "the metric takes predictions of its own dtype only, float32"
NARROW: Mapping[str, Mapping[str, str]] = {
    "keras3": {"SparseTopKCategoricalAccuracy": _TOP, "TopKCategoricalAccuracy": _TOP},
    "tf_keras": {"F1Score": _OWN, "FBetaScore": _OWN, "R2Score": _OWN},
}
"""By line and class: why predictions in float16 or bfloat16 are refused."""


def predictions(case: Case) -> Iterator[Finding]:
    """Metrics that do not take predictions in 16 bits."""
    reasons = NARROW.get(case.subject.conventions.name, {})
    for metric in case.metrics if case.head_dtype.low_precision else ():
        ranked = getattr(metric, "from_sorted_ids", False)  # these are compared, not ranked
        if metric.class_name in reasons and not ranked:
            fix = 'To train there as well, give the last layer dtype "float32".'
            yield _refused(case, metric, reasons[metric.class_name], fix)


def axes(case: Case) -> Iterator[Finding]:
    """Overlaps of classes along another axis than the last: Keras 3 adds up its few results along that axis too."""
    for metric in case.metrics if case.subject.conventions.keras3 else ():
        axis = getattr(metric, "axis", -1)
        if isinstance(metric, Overlap) and axis not in {-1, 0}:
            reason = f"result() adds up one number a class along axis {axis}"
            yield _refused(case, metric, reason, "To train there as well, put the classes last and leave out `axis`.")


def _refused(case: Case, metric: Metric, reason: str, fix: str) -> Finding:
    line, dtype = case.subject.conventions.name, case.head_dtype.name
    return Finding(
        code="original_refuses",
        severity="warning",
        layer=case.head,
        why=f"{line} does not compute {metric.class_name} of predictions in {dtype}: {reason}, and training raises an "
        "error. This engine computes it.",
        fix=fix,
        source="fit() of Keras 3.15.1 and tf_keras 2.21 on TensorFlow 2.21, observed",
        evidence={"metric": metric.class_name, "dtype": dtype},
    )


METRIC_RULES: tuple[Rule, ...] = (predictions, axes)
