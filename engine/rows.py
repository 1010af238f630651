"""Rows to train, validate or predict on, as the network's inputs and outputs take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from engine.data_check import Place, check_inputs, check_labels, check_weights
from engine.dtypes import DType
from engine.errors import InvalidValue, ShapeMismatch
from engine.heads import Head
from engine.network import Network
from engine.tape import Array, Tensor, rounded

Data: TypeAlias = Array | Sequence[Array] | Mapping[str, Array]
"""Of a model's ends: an array for one input or output, a list in their order, or a dict by name."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs, labels and sample weights.

    Attributes:
        inputs: one array per input of the network, on the grid of its dtype, in its storage dtype.
        labels: one per output; of no values where nothing is compared with it.
        weights: one per output, a number a row (or an entry of a row), or None.
    """

    inputs: tuple[Array, ...]
    labels: tuple[Array, ...]
    weights: tuple[Array | None, ...]

    def __len__(self) -> int:
        return len(self.inputs[0])

    def part(self, rows: slice | Array) -> Rows:
        """Return the rows of a stretch, or with these numbers."""
        inputs, labels = (tuple(array[rows] for array in arrays) for arrays in (self.inputs, self.labels))
        return Rows(inputs, labels, tuple(None if array is None else array[rows] for array in self.weights))


def tensors(network: Network, inputs: Sequence[Array]) -> list[Tensor]:
    """Return entered inputs as the tensors that a network's forward takes."""
    return [Tensor(array, layer.input_dtype) for array, layer in zip(inputs, network.inputs, strict=True)]


def entered(network: Network, x: Data) -> tuple[Array, ...]:
    """Return checked data in the order of the network's inputs.

    Raises:
        InvalidValue: another number of inputs, or other names.
        DataInvalid, ShapeMismatch: what is wrong with one of them; ``path`` starts with "x".
    """
    names = [layer.name or "" for layer in network.inputs]
    arrays = _ordered("x", "inputs", names, x)
    for array, place, shape in zip(arrays, _places("x", names), network.input_shapes, strict=True):
        check_inputs(array, shape, place)
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise ShapeMismatch(f"All inputs must have as many rows, got {sorted(lengths)}.", path=("x",))
    return tuple(_on_grid(array, layer.input_dtype) for array, layer in zip(arrays, network.inputs, strict=True))


def labelled(network: Network, heads: Sequence[Head], x: Data, y: Data, sample_weight: Data | None = None) -> Rows:
    """Return checked inputs, labels and weights.

    Args:
        network: what they are for.
        heads: what its outputs are measured by.
        x: inputs.
        y: labels; an output that nothing is compared with needs none.
        sample_weight: of one output, or for every output the same: an array; else one an output.

    Raises:
        InvalidValue: another number of inputs or outputs, or other names.
        DataInvalid, ShapeMismatch: ``path`` starts with "x", "y" or "sample_weight".
    """
    inputs = entered(network, x)
    names = [head.name for head in heads]
    wanted = [head for head in heads if head.takes_labels]
    found = dict(zip(_names(wanted), _ordered("y", "outputs", _names(wanted), _without(y, heads)), strict=True))
    ends = zip(heads, _places("y", names), network.output_shapes, network.output_dtypes, strict=True)
    for head, place, shape, dtype in ends:
        if head.name in found:
            check_labels(found[head.name], len(inputs[0]), shape, head.loss, place, dtype)
    nothing = np.empty((len(inputs[0]), 0), np.float32)
    return Rows(
        inputs, tuple(found.get(name, nothing) for name in names), _weights(names, sample_weight, len(inputs[0]))
    )


def _names(heads: Sequence[Head]) -> list[str]:
    return [head.name for head in heads]


def _without(y: Any, heads: Sequence[Head]) -> Any:
    """Return the labels without those of outputs that nothing is compared with."""
    needless = {index: head.name for index, head in enumerate(heads) if not head.takes_labels}
    if isinstance(y, Mapping):
        return {name: array for name, array in y.items() if name not in needless.values()}
    if needless and isinstance(y, list | tuple) and len(y) == len(heads):
        left = [array for index, array in enumerate(y) if index not in needless]
        return left if len(left) > 1 else left[0]
    return y


def _weights(names: Sequence[str], given: Data | None, samples: int) -> tuple[Array | None, ...]:
    if given is None:
        return (None,) * len(names)
    several = isinstance(given, Mapping | tuple) or (isinstance(given, list) and len(names) > 1)
    arrays: list[Array | None]
    if isinstance(given, Mapping):
        strange = sorted(set(given) - set(names))
        if strange:
            raise _strange("sample_weight", "outputs", names, strange)
        arrays = [np.asarray(given[name]) if given.get(name) is not None else None for name in names]
    elif several:
        arrays = list(_ordered("sample_weight", "outputs", names, given))
    else:
        arrays = [np.asarray(given)] * len(names)
    places = _places("sample_weight", names) if several else [("sample_weight",)] * len(names)
    for array, place in zip(arrays, places, strict=True):
        if array is not None:
            check_weights(array, samples, place)
    return tuple(arrays)


def _ordered(key: str, ends: str, names: Sequence[str], given: Any) -> list[Array]:
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise _strange(key, ends, names, sorted(given))
        return [np.asarray(given[name]) for name in names]
    if isinstance(given, tuple) or (isinstance(given, list) and len(names) > 1):
        if len(given) != len(names):
            raise InvalidValue(f"The model has {len(names)} {ends}, but `{key}` holds {len(given)}.", path=(key,))
        return [np.asarray(array) for array in given]
    if len(names) > 1:
        text = f"The model has the {ends} {list(names)}; give `{key}` as a list of arrays or a dict."
        raise InvalidValue(text, path=(key,))
    return [np.asarray(given)]


def _strange(key: str, ends: str, names: Sequence[str], given: Sequence[str]) -> InvalidValue:
    return InvalidValue(f"The model's {ends} are {list(names)}, but `{key}` has data for {list(given)}.", path=(key,))


def _places(key: str, names: Sequence[str]) -> list[Place]:
    return [(key,)] if len(names) == 1 else [(key, name) for name in names]


def _on_grid(x: Array, dtype: DType) -> Array:
    values = np.ascontiguousarray(x, dtype=dtype.storage)
    return rounded(values.copy() if values is x else values, dtype) if dtype.low_precision else values
