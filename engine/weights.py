"""What a layer says of a variable it wants, before anything is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.constraints import Constraint
from engine.dtypes import DType
from engine.errors import InvalidValue
from engine.initializers import GlorotUniform, Initializer, Zeros
from engine.regularizers import Regularizer


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """One variable that a layer wants, before anything is allocated.

    Attributes:
        path: "layer/name", unique in a model.
        name: Keras's name, such as "kernel".
        shape: known in full.
        dtype: the variable dtype.
        trainable: whether the optimizer updates it.
        initializer: makes the first value.
        regularizer: penalty on it, run in the variable dtype, or None.
        constraint: what its values are brought back to after each update, or None.
        overwritten: whether its "gradient" is its next value (Keras's ``overwrite_with_gradient``).
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: DType
    trainable: bool
    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None
    overwritten: bool = False

    @property
    def layer(self) -> str:
        """Name of the layer whose variable it is; of an inner one "outer/inner"."""
        return self.path.removesuffix(f"/{self.name}")

    @property
    def size(self) -> int:
        """Number of elements, as an unbounded integer."""
        return math.prod(self.shape)


def started(initializer: Initializer | None, dtype: DType, variable: str, layer: str) -> Initializer:
    """Return what a variable starts from; where nothing is named, Glorot's numbers for floats, and zeros else.

    Raises:
        InvalidValue: the dtype has no numbers to start from. The text names the variable and the layer.
    """
    if initializer is not None:
        if dtype.kind not in ("float", "int", "uint", "bool", "complex"):
            text = f"Expected numeric or boolean dtype, got <dtype: '{dtype.name}'>."
            raise InvalidValue(text, code="not_numeric")
        return initializer
    if dtype.is_floating:
        return GlorotUniform()
    if dtype.kind in ("int", "uint", "bool"):
        return Zeros()
    raise InvalidValue(
        f"An initializer for variable {variable} of type <dtype: '{dtype.name}'> is required for layer {layer}",
        code="missing_initializer",
    )
