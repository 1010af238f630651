"""What a layer says of a variable it wants, before anything is allocated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.constraints import Constraint
from engine.dtypes import DType
from engine.initializers import Initializer
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
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: DType
    trainable: bool
    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None

    @property
    def size(self) -> int:
        """Number of elements, as an unbounded integer."""
        return math.prod(self.shape)
