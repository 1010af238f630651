"""The gradient of an embedding, as the rows that were read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

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
