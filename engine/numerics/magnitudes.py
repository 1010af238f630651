"""How large the numbers of the data are, and which layers they reach as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.graph import Graph
from engine.layers.embedding import Masking
from engine.layers.preprocessing import Identity
from engine.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from engine.tape import Array

_KEEPING = (Flatten, Identity, Masking, Permute, RepeatVector, Reshape)
"""Layers that hand every number on as it is."""


@dataclass(frozen=True, slots=True)
class Magnitudes:
    """How large the numbers of an input are.

    Attributes:
        largest: magnitude of all.
        mean: of the row whose mean is furthest from 0.
        mean_square: of the row where it is largest.
        variance: of the row where it is largest.
    """

    largest: float
    mean: float
    mean_square: float
    variance: float


def magnitudes_of(array: Array) -> Magnitudes | None:
    """Return the magnitudes of data, first axis the rows; None where there are none, or not all are finite."""
    if not array.size or array.dtype.kind not in "fiub":
        return None
    flat = np.asarray(array, np.float64).reshape(len(array), -1)
    if not np.isfinite(flat).all():
        return None
    means = flat.mean(axis=1)
    squares = np.square(flat).mean(axis=1)
    return Magnitudes(
        largest=float(np.abs(flat).max()),
        mean=float(np.abs(means).max()),
        mean_square=float(squares.max()),
        variance=float((squares - np.square(means)).max()),
    )


def arriving(graph: Graph, given: Array | Mapping[str, Array] | None) -> dict[int, Magnitudes]:
    """Return the magnitudes of what reaches each call as its first argument, where these are the data themselves.

    Args:
        graph: of the model.
        given: data of the one input, or of several by name; None where they are not known.
    """
    if given is None:
        return {}
    after: dict[int, Magnitudes] = {}
    before: dict[int, Magnitudes] = {}
    for index in graph.inputs:
        array = given.get(graph.calls[index].layer.name or "") if isinstance(given, Mapping) else given
        seen = None if array is None else magnitudes_of(array)
        if seen is not None:
            after[index] = seen
    for index, call in enumerate(graph.calls):
        source = call.sources[0][0] if call.sources else None
        if source in after:
            before[index] = after[source]
            if isinstance(call.layer, _KEEPING):
                after[index] = before[index]
    return before
