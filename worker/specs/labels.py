"""Whether labels fit the loss and the metrics, beyond their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import losses
from engine.layers import Shape
from engine.model import Model
from worker.specs.findings import Findings
from worker.specs.outputs import Measure, measures_of
from worker.specs.samples import Samples, by_place
from worker.specs.wording import shown

PROBABILITIES = (
    losses.BinaryCrossentropy,
    losses.BinaryFocalCrossentropy,
    losses.CategoricalCrossentropy,
    losses.CategoricalFocalCrossentropy,
)
"""Losses whose labels are probabilities."""
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
    labels = labels_by_output(model, samples)
    for head, (where, y) in zip(model.compilation.heads, labels, strict=True):
        if isinstance(head.loss, PROBABILITIES) and y is not None:
            _check_probabilities(findings, head.loss, y, (*place, *where))
    for measure in measures_of(model, findings.body["compile"]):
        _, y = labels[measure.output]
        if y is not None:
            _check_metric(findings, measure, model.output_shapes[measure.output][1:], y)


def labels_by_output(model: Model, samples: Samples) -> list[tuple[tuple[str, ...], NDArray[Any] | None]]:
    """Return for each output where in the data its labels stand, and the labels; None where there are none."""
    places = by_place("y", samples.y)
    named = isinstance(samples.y, Mapping)
    wanted = [("y", head.name) if named else ("y",) for head in model.compilation.heads]
    compared = [head.takes_labels for head in model.compilation.heads]
    return [(place, places.get(place) if there else None) for place, there in zip(wanted, compared, strict=True)]


def _check_probabilities(findings: Findings, loss: losses.Loss, y: NDArray[Any], place: tuple[str, ...]) -> None:
    outside = (y < 0) | (y > 1)
    if outside.any():
        index = _first(outside)
        value = f"`y` holds {shown(y[index].item())} at row {index[0]}"
        text = f"{value}, but labels of {loss.class_name} are probabilities, from 0 to 1."
        hint = " Class numbers go with SparseCategoricalCrossentropy." if y.ndim == 1 else ""
        findings.add("label_out_of_range", text + hint, *place, *index)


def _check_metric(findings: Findings, measure: Measure, output: Shape, y: NDArray[Any]) -> None:
    # Class numbers may stand in a column of their own.
    classes = len(y.shape) == len(output) or (len(y.shape) == len(output) + 1 and y.shape[-1] == 1 != output[-1])
    values = y.shape[1:] == output or (output[-1:] == (1,) and y.shape[1:] == output[:-1])
    metric = measure.metric
    if not (classes if metric.labels_are_classes else values):
        wanted = "class numbers" if metric.labels_are_classes else "labels of the output's shape"
        text = (
            f"{metric.class_name} takes {wanted}, but a label has shape {list(y.shape[1:])} and an output "
            f'{list(output)}. Choose the metric that fits, or "accuracy", which chooses by itself.'
        )
        findings.add("metric_mismatch", text, *measure.place)


def _first(where: NDArray[Any]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(where)), where.shape))
