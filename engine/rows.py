"""Rows to train, validate or predict on, as the network's inputs take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from engine.data_check import check_inputs
from engine.dtypes import DType
from engine.errors import InvalidValue, ShapeMismatch
from engine.network import Network
from engine.tape import Array, Tensor, rounded

Data: TypeAlias = Array | Sequence[Array] | Mapping[str, Array]
"""Inputs of a model: an array for one input, a list in the order of the inputs, or a dict by input name."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs, labels, and sample weights or None.

    Attributes:
        inputs: one array per input of the network, on the grid of its dtype, in its storage dtype.
        y: labels.
        weights: one number a row, or None.
    """

    inputs: tuple[Array, ...]
    y: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs[0])

    def part(self, rows: slice | Array) -> Rows:
        """Return the rows of a stretch, or with these numbers."""
        weights = None if self.weights is None else self.weights[rows]
        return Rows(tuple(array[rows] for array in self.inputs), self.y[rows], weights)


def tensors(network: Network, inputs: Sequence[Array]) -> list[Tensor]:
    """Return entered inputs as the tensors that a network's forward takes."""
    return [Tensor(array, layer.input_dtype) for array, layer in zip(inputs, network.inputs, strict=True)]


def entered(network: Network, x: Data) -> tuple[Array, ...]:
    """Return checked data in the order of the network's inputs.

    Raises:
        InvalidValue: another number of inputs, or other names.
        DataInvalid, ShapeMismatch: what is wrong with one of them; ``path`` starts with "x".
    """
    arrays = _ordered(network, x)
    alone = len(arrays) == 1
    for array, layer, shape in zip(arrays, network.inputs, network.input_shapes, strict=True):
        check_inputs(array, shape, "x" if alone else layer.name or "x")
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise ShapeMismatch(f"All inputs must have as many rows, got {sorted(lengths)}.", path=("x",))
    return tuple(_on_grid(array, layer.input_dtype) for array, layer in zip(arrays, network.inputs, strict=True))


def _ordered(network: Network, x: Any) -> list[Array]:
    names = [layer.name or "" for layer in network.inputs]
    if isinstance(x, Mapping):
        if set(x) != set(names):
            raise InvalidValue(f"The model's inputs are {names}, but data are given for {sorted(x)}.", path=("x",))
        return [np.asarray(x[name]) for name in names]
    if isinstance(x, tuple) or (isinstance(x, list) and len(names) > 1):
        if len(x) != len(names):
            raise InvalidValue(f"The model has {len(names)} inputs, but data are given for {len(x)}.", path=("x",))
        return [np.asarray(array) for array in x]
    if len(names) > 1:
        raise InvalidValue(f"The model has the inputs {names}; give a list of arrays or a dict.", path=("x",))
    return [np.asarray(x)]


def _on_grid(x: Array, dtype: DType) -> Array:
    values = np.ascontiguousarray(x, dtype=dtype.storage)
    return rounded(values.copy() if values is x else values, dtype) if dtype.low_precision else values
