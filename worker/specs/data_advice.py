"""What is doubtful about the data of a job: each array beside the layers that take it, or the loss that it goes into.

Built-in data sets are known, and not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.heads import Head
from engine.layers import BatchNormalization, Layer, Shape
from engine.layers.embedding import Embedding
from engine.layers.layer_normalization import RowNormalization
from engine.layers.preprocessing import Normalization, Rescaling
from engine.losses import CategoricalCrossentropy, CategoricalFocalCrossentropy, CosineSimilarity
from engine.numerics.data_rules import MOST_NAMED, Table, class_findings, count_classes, input_findings, value_findings
from engine.numerics.findings import Finding
from worker.specs.doubts import Reading
from worker.specs.entries import uses_of
from worker.specs.labels import PROBABILITIES, labels_by_output
from worker.specs.samples import Samples, by_place

Path: TypeAlias = tuple[str | int, ...]

SCALING = (Normalization, Rescaling, BatchNormalization, RowNormalization)
"""Layers that bring data to a common size."""
_ONE_CLASS = (CategoricalCrossentropy, CategoricalFocalCrossentropy)
_REACHES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        **dict.fromkeys(("sigmoid", "softmax", "hard_sigmoid", "sparsemax", "sparse_sigmoid"), (0.0, 1.0)),
        **dict.fromkeys(("tanh", "hard_tanh", "softsign"), (-1.0, 1.0)),
        **dict.fromkeys(("relu", "softplus", "exponential", "sparse_plus", "squareplus"), (0.0, np.inf)),
        "relu6": (0.0, 6.0),
    }
)
"""Between which numbers the values of an activation lie."""


def data_findings(job: Reading) -> Iterator[tuple[Finding, Path]]:
    """Yield what is doubtful about the data, each with its place in the request."""
    samples = job.samples
    if samples is None:
        return
    yield from _idle_weights(job, samples)
    if "dataset" in job.body["data"]:
        return
    arrays = by_place("x", samples.x)
    network = job.subject.network
    for index, (layer, shape) in enumerate(zip(network.inputs, network.input_shapes, strict=True)):
        own = ("x", layer.name or "") if isinstance(samples.x, Mapping) else ("x",)
        if own in arrays and _fits(arrays[own], shape):
            found = _of_input(job, index, _table(samples, own, arrays[own]))
            yield from ((finding, ("data", *own)) for finding in found)
    if not job.model.is_compiled:
        return
    ends = zip(job.model.compilation.heads, labels_by_output(job.model, samples), job.model.output_shapes, strict=True)
    for index, (head, (place, y), shape) in enumerate(ends):
        if y is not None and head.loss is not None and y.size:
            table = _table(samples, place, y)
            yield from ((finding, ("data", *place)) for finding in _of_labels(job, index, head, table, shape))


def _fits(array: NDArray[Any], shape: Shape) -> bool:
    sizes = zip(array.shape[1:], shape[1:], strict=False)
    return array.ndim == len(shape) and array.size > 0 and all(wanted in (None, have) for have, wanted in sizes)


def _table(samples: Samples, place: tuple[str, ...], array: NDArray[Any]) -> Table:
    names = None if samples.columns is None else samples.columns.names.get(place)
    return Table(f"`{'.'.join(place)}`", array, names)


def _of_input(job: Reading, index: int, table: Table) -> Iterator[Finding]:
    uses = [use for use in uses_of(job.subject.network, index) if not isinstance(use.layer, Embedding)]
    if not uses:  # nothing but identifiers that are looked up
        return
    dtypes = [dtype for use in uses for dtype in _entering(use.layer, use.dtype)]
    scaled = any(isinstance(use.layer, SCALING) for use in uses)
    yield from input_findings(table, dtypes, scaled=scaled)


def _entering(layer: Layer, dtype: Any) -> Iterator[Any]:
    try:
        yield layer.entering_dtype(dtype)
    except EngineError:  # integers that the layer does not take are refused elsewhere
        return


def _of_labels(job: Reading, index: int, head: Head, table: Table, shape: Shape) -> Iterator[Finding]:
    loss, units, y = head.loss, shape[-1] or 0, table.values
    whole = y.shape[1:] == tuple(shape[1:]) or (units == 1 and y.shape[1:] == tuple(shape[1:-1]))
    if loss is None:
        return
    if loss.labels_are_classes or (isinstance(loss, PROBABILITIES) and whole and (units == 1 or _is_one(loss))):
        weighted = bool(job.body["data"].get("sample_weight") or job.body.get("fit", {}).get("class_weight"))
        ignored = getattr(loss, "ignore_class", None)
        counts = count_classes(y, units, sparse=loss.labels_are_classes)
        counts.pop(ignored if ignored is not None else -1, None)
        yield from class_findings(table, counts, weighted=weighted)
    elif whole and not isinstance(loss, (*PROBABILITIES, CosineSimilarity)):
        yield from value_findings(table, *_reach(job, index))


def _is_one(loss: Any) -> bool:
    return isinstance(loss, _ONE_CLASS)


def _reach(job: Reading, index: int) -> tuple[tuple[float, float], str]:
    """Return between which numbers an output lies, and by what."""
    network = job.subject.network
    call, _ = network.graph.outputs[index]
    layer, dtype = network.graph.calls[call].layer, network.output_dtypes[index]
    name = getattr(getattr(layer, "activation", None), "name", "linear")
    most = dtype.max if dtype.low_precision else np.inf
    low, high = _REACHES.get(name, (-np.inf, np.inf))
    what = f"the last layer ({name})" if name in _REACHES else f"the last layer ({dtype.name})"
    return (max(low, -most), min(high, most)), what


def _idle_weights(job: Reading, samples: Samples) -> Iterator[tuple[Finding, Path]]:
    """Yield the weights of classes that no row has."""
    given = (job.body.get("fit") or {}).get("class_weight") or {}
    if not given or not job.model.is_compiled or isinstance(samples.y, Mapping) or not samples.y.size:
        return
    units, sparse = job.model.output_shapes[0][-1] or 0, job.model.compilation.loss.labels_are_classes
    if not (sparse or units == 1 or samples.y.shape[-1:] == (units,)):
        return
    counts = count_classes(samples.y, units, sparse=sparse)
    idle = [name for name in given if counts and int(name) not in counts]
    if idle:
        more = f" and {len(idle) - MOST_NAMED} more" if len(idle) > MOST_NAMED else ""
        finding = Finding(
            code="no_effect",
            severity="warning",
            layer=None,
            why=f"`class_weight` names {', '.join(map(repr, idle[:MOST_NAMED]))}{more}, and no row has such a label.",
            fix="Give weights to classes that there are.",
            source="keras.Model.fit, `class_weight`",
            evidence={"classes": len(idle)},
        )
        yield finding, ("fit", "class_weight", idle[0])
