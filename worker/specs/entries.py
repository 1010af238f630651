"""Where data enter a model: what its first layers do with them, and whether the values allow it.

Floats go into any layer; integers are row numbers, which an Embedding looks up, or quantities that the layer converts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.dtypes import DType
from engine.layers import Dense, InputLayer, Layer
from engine.layers.embedding import Embedding
from engine.layers.merging import Concatenate
from engine.layers.operations import GetItem, Operation
from engine.layers.reshaping import (
    Cropping1D,
    Cropping2D,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    ZeroPadding1D,
    ZeroPadding2D,
)
from engine.layers.wrappers import TimeDistributed
from engine.network import Network
from worker.specs.findings import Findings
from worker.specs.samples import Arrays, by_place, place_of
from worker.specs.wording import shown

Path: TypeAlias = tuple[str | int, ...]

MOVERS = (
    Flatten, Reshape, Permute, RepeatVector, Cropping1D, Cropping2D, ZeroPadding1D, ZeroPadding2D, Concatenate,
    GetItem,
)  # fmt: skip
"""Layers that hand values on as they are, or next to zeros."""
EXACT = 2**53
"""Integers up to it survive the way through JSON and float64."""


@dataclass(frozen=True)
class Use:
    """A layer that takes data as they entered the model, moved about at most.

    Attributes:
        name: of the layer as the model lists it.
        layer: the layer, without TimeDistributed around it.
        dtype: in which the data arrive.
    """

    name: str
    layer: Layer
    dtype: DType


def check_entries(findings: Findings, network: Network, places: Mapping[str | None, Path]) -> None:
    """Note inputs that are no numbers, and integers that go into a layer which would compute with them.

    Args:
        findings: where to note it.
        network: the model.
        places: where in the job each layer stands.
    """
    for layer in network.inputs:
        if layer.input_dtype.kind not in {"float", "int", "uint", "bool"}:
            text = f"The model takes {layer.input_dtype.name} data; training needs numbers."
            findings.add("unsupported", text, *places.get(layer.name, ("model",)), "config", "dtype")
            return
    for use in uses_of(network):
        if isinstance(use.layer, Operation) and use.layer.compares:
            continue
        if not use.dtype.is_floating and not isinstance(use.layer, (Embedding, InputLayer, *MOVERS)):
            if _converts(use.layer, use.dtype):
                continue
            text = (
                f"{use.layer.class_name} {use.name!r} would compute with {use.dtype.name} data. Integers enter a "
                "model through an Embedding, or a layer that converts them, such as Rescaling or Dense; for other "
                "layers give the input a floating-point dtype."
            )
            findings.add("unsupported", text, *places.get(use.name, ("model",)))


def _converts(layer: Layer, dtype: DType) -> bool:
    """Whether a layer makes floats of integers before it computes."""
    if isinstance(layer, Dense):
        return True
    return layer.integers != "refused" and layer.entering_dtype(dtype).is_floating


def check_data(findings: Findings, network: Network, x: Arrays, place: tuple[str, ...]) -> bool:
    """Note the first value of each input that the model cannot hold or an Embedding has no row for.

    Args:
        findings: where to note it.
        network: the model.
        x: the data, of any shape; every value is finite. Inputs of other names are the engine's to refuse.
        place: where in the job the data stand.

    Returns:
        Whether there is none.
    """
    arrays = by_place("x", x)
    checked = []
    for index, layer in enumerate(network.inputs):
        own = ("x", layer.name or "") if isinstance(x, Mapping) else ("x",)
        if own in arrays:
            data = _Entry(arrays[own], place, own)
            checked.append(_check_entry(findings, network, index, data))
    return all(checked)


@dataclass(frozen=True)
class _Entry:
    """Data of one input.

    Attributes:
        values: of any shape.
        outer: where in the job the data stand.
        place: where among them these do.
    """

    values: NDArray[Any]
    outer: tuple[str, ...]
    place: tuple[str, ...]


def _check_entry(findings: Findings, network: Network, index: int, data: _Entry) -> bool:
    dtype = network.inputs[index].input_dtype
    held = _check_floats(findings, dtype, data) if dtype.is_floating else _check_whole(findings, dtype, data)
    return held and all(_check_rows(findings, use, data) for use in uses_of(network, index))


def _check_floats(findings: Findings, dtype: DType, data: _Entry) -> bool:
    text = f"which {dtype.name} cannot hold: it ends at {dtype.max}. Scale the data."
    return _note(findings, np.abs(data.values) > dtype.max, data, text)


def _check_whole(findings: Findings, dtype: DType, data: _Entry) -> bool:
    lowest, highest = _ends(dtype)
    x = data.values
    bad = (x != np.floor(x)) | (x < lowest) | (x > highest)
    text = f"but the model takes {dtype.name} data: whole numbers from {lowest} to {highest}."
    return _note(findings, bad, data, text)


def _ends(dtype: DType) -> tuple[int, int]:
    if dtype.kind == "bool":
        return 0, 1
    limits = np.iinfo(dtype.edge)
    return max(int(limits.min), -EXACT), min(int(limits.max), EXACT)


def _check_rows(findings: Findings, use: Use, data: _Entry) -> bool:
    if not isinstance(use.layer, Embedding):
        return True
    rows, x = use.layer.input_dim, data.values
    bad = (x != np.floor(x)) | (x < 0) | (x >= rows)
    text = f"but Embedding {use.name!r} looks up whole numbers from 0 to {rows - 1}. Correct them or raise `input_dim`."
    if not _note(findings, bad, data, text):
        return False
    exact = 2 ** (use.dtype.mantissa_bits + 1) if use.dtype.is_floating else EXACT
    text = f"which {use.dtype.name} cannot tell from its neighbours. Give the model an input of dtype int32."
    return _note(findings, x > exact, data, text)


def _note(findings: Findings, bad: NDArray[Any], data: _Entry, text: str) -> bool:
    """Note the first bad value, and how many rows have one; return whether there is none."""
    x = data.values
    if not bad.any():
        return True
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
    rows = int(bad.reshape(len(bad), -1).any(axis=1).sum())
    more = f" There are {rows} such rows." if rows > 1 else ""
    value = x[index].item()
    whole = int(value) if value == int(value) and abs(value) <= EXACT else value
    where = place_of(".".join(data.place), index)
    findings.add("data_invalid", f"{where} is {shown(whole)}, {text}{more}", *data.outer, *data.place, *index)
    return False


def uses_of(network: Network, only: int | None = None) -> Iterator[Use]:
    """Yield the layers that take data as they entered, by any input or by one of them."""
    graph = network.graph
    entries = list(zip(graph.inputs, network.inputs, strict=True))
    arriving = {index: layer.input_dtype for index, layer in (entries if only is None else [entries[only]])}
    for index, call in enumerate(graph.calls):
        layer = call.layer
        while isinstance(layer, TimeDistributed):
            layer = layer.layer
        for source in {source for source, _ in call.arguments} & arriving.keys():
            dtype = arriving[source]
            yield Use(call.layer.name or "", layer, dtype)
            if isinstance(layer, InputLayer):  # of a nested model, which brings what enters to its dtype
                arriving[index] = layer.input_dtype
            elif isinstance(layer, MOVERS):
                # Layers cast floats to their compute dtype first, whatever they then do with them; operations do not.
                casts = dtype.is_floating and not isinstance(layer, Operation)
                arriving[index] = layer.policy.compute if casts else dtype
