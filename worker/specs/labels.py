"""Whether labels fit the loss and the metrics, beyond their shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import losses, metrics
from engine.model import Model
from worker.specs.findings import Findings
from worker.specs.samples import Samples
from worker.specs.wording import shown

PROBABILITIES = (losses.BinaryCrossentropy, losses.CategoricalCrossentropy)
"""Losses whose labels are probabilities."""
CLASS_METRICS = (metrics.SparseCategoricalAccuracy, metrics.SparseTopKCategoricalAccuracy)
"""Metrics whose labels are class numbers; those of the others have the shape of the output."""
LARGEST_CLASS = 2**53
"""Class numbers beyond it are no exact floats."""


def check_labels(findings: Findings, model: Model, samples: Samples, place: tuple[str, ...]) -> None:
    """Note labels that the loss or a metric cannot take.

    Args:
        findings: where to note it.
        model: compiled.
        samples: the data.
        place: where in the job the data stands.
    """
    if isinstance(model.compilation.loss, PROBABILITIES):
        _check_probabilities(findings, model, samples.y, place)
    _check_metrics(findings, model, samples.y)


def _check_probabilities(findings: Findings, model: Model, y: NDArray[Any], place: tuple[str, ...]) -> None:
    outside = (y < 0) | (y > 1)
    if outside.any():
        index = _first(outside)
        loss = model.compilation.loss.class_name
        value = f"`y` holds {shown(y[index].item())} at row {index[0]}"
        text = f"{value}, but labels of {loss} are probabilities, from 0 to 1."
        hint = " Class numbers go with SparseCategoricalCrossentropy." if y.ndim == 1 else ""
        findings.add("label_out_of_range", text + hint, *place, "y", *index)


def _check_metrics(findings: Findings, model: Model, y: NDArray[Any]) -> None:
    output = model.network.output_shapes[0][1:]
    # Class numbers may stand in a column of their own.
    classes = len(y.shape) == len(output) or (len(y.shape) == len(output) + 1 and y.shape[-1] == 1 != output[-1])
    values = y.shape[1:] == output or (output[-1:] == (1,) and y.shape[1:] == output[:-1])
    for index, metric in enumerate(model.compilation.metrics):
        fits = classes if isinstance(metric, CLASS_METRICS) else values
        if not fits:
            wanted = "class numbers" if isinstance(metric, CLASS_METRICS) else "labels of the output's shape"
            text = (
                f"{metric.class_name} takes {wanted}, but a label has shape {list(y.shape[1:])} and an output "
                f'{list(output)}. Choose the metric that fits, or "accuracy", which chooses by itself.'
            )
            findings.add("metric_mismatch", text, "compile", "metrics", index)


def _first(where: NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(where)), where.shape))
