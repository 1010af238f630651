"""What a gradient is: an array, or the rows of one that only some rows of a table have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class RowGradient:
    """The gradient of a variable of which only some rows were read, as TensorFlow's ``IndexedSlices``.

    Attributes:
        indices: number of the row that each part belongs to, integers of shape (parts,); rows may repeat.
        rows: the parts, shape (parts, *shape of a row).
        shape: of the variable.
    """

    indices: Array
    rows: Array
    shape: tuple[int, ...]

    def merged(self) -> Array:
        """Return the dense gradient: parts of the same row are added."""
        total = np.zeros(self.shape, self.rows.dtype)
        np.add.at(total, self.indices, self.rows)
        return total

    def magnitudes(self) -> Array:
        """Return what the squares of the parts add up to, under a root: exact where a row has one part."""
        found = np.zeros(self.shape, self.rows.dtype)
        np.hypot.at(found, self.indices, self.rows)
        return found

    def sizes(self) -> Array:
        """Return the sum of the parts' absolute values."""
        return replace(self, rows=np.abs(self.rows)).merged()


Gradient: TypeAlias = Array | RowGradient


def values_of(gradient: Gradient) -> Array:
    """Return all numbers of a gradient: the array itself, or the parts of the rows."""
    return gradient.rows if isinstance(gradient, RowGradient) else gradient


def added(first: Gradient, second: Gradient) -> Gradient:
    """Return the sum of two gradients: rows as long as both have them."""
    if isinstance(first, RowGradient) and isinstance(second, RowGradient):
        indices = np.concatenate([first.indices, second.indices])
        return RowGradient(indices, np.concatenate([first.rows, second.rows]), first.shape)
    total: Array = dense(first) + dense(second)
    return total


def dense(gradient: Gradient) -> Array:
    """Return the gradient of all rows, its parts added."""
    return gradient.merged() if isinstance(gradient, RowGradient) else gradient


def mapped(function: Callable[[Array], Array], gradient: Gradient) -> Gradient:
    """Return the gradient whose numbers are a function of another one's."""
    if isinstance(gradient, RowGradient):
        return replace(gradient, rows=function(gradient.rows))
    return function(gradient)


Gradients: TypeAlias = Sequence[Gradient | None]
"""One per variable, None where there is none."""
