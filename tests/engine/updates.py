"""What tests of optimizers share: a few variables, and steps of an optimizer over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.dtypes import FLOAT64, DType
from engine.gradients import Gradient
from engine.initializers import Zeros
from engine.optimizers import Optimizer
from engine.tape import Array, rounded
from engine.weights import WeightSpec

SHAPES = ((4, 3), (3,), (2, 2, 3))


@dataclass
class Variables:
    """Variables under an optimizer, and how many steps they have seen."""

    optimizer: Optimizer
    specs: tuple[WeightSpec, ...]
    arrays: list[Array]
    slots: dict[str, Array]
    iterations: int = 0

    def step(self, gradients: Sequence[Gradient | None]) -> None:
        """Apply one step's gradients."""
        with np.errstate(all="ignore"):
            self.optimizer.apply(self.iterations, self.specs, self.arrays, gradients, self.slots)
        self.iterations += 1

    def copies(self) -> list[Array]:
        """Return the values as they are now."""
        return [array.copy() for array in self.arrays]


def spec(shape: tuple[int, ...], dtype: DType = FLOAT64, path: str = "v", **settings: Any) -> WeightSpec:
    """Return a trainable variable."""
    return WeightSpec(path, path, shape, dtype, trainable=True, initializer=Zeros(), **settings)


def variables(
    optimizer: Optimizer, dtype: DType = FLOAT64, shapes: Sequence[tuple[int, ...]] = SHAPES, seed: int = 0
) -> Variables:
    """Return random variables on the grid of a dtype."""
    specs = tuple(spec(shape, dtype, f"v{index}") for index, shape in enumerate(shapes))
    arrays = random(specs, seed)
    by_path = {item.path: array for item, array in zip(specs, arrays, strict=True)}
    return Variables(optimizer, specs, arrays, optimizer.initial_slots(specs, by_path))


def random(specs: Sequence[WeightSpec], seed: int) -> list[Array]:
    """Return standard normal numbers of the shapes and on the grids of some variables."""
    rng = np.random.default_rng(seed)
    return [rounded(rng.normal(size=item.shape).astype(item.dtype.storage), item.dtype) for item in specs]


def descend(of: Variables, slope: Callable[[Array], Array], steps: int) -> None:
    """Follow a slope for some steps."""
    for _ in range(steps):
        of.step([rounded(slope(array), item.dtype) for item, array in zip(of.specs, of.arrays, strict=True)])
