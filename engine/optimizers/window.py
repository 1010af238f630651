"""Gradient accumulation: the mean gradient of a window of steps, collected in a slot of each variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.gradients import Gradients, dense
from engine.optimizers.arithmetic import grid, number_on
from engine.tape import Array
from engine.weights import WeightSpec

SLOT = "gradient_accumulator"


def collect(specs: Sequence[WeightSpec], gradients: Gradients, slots: Mapping[str, Array]) -> None:
    """Add the gradients of a step to those of its window."""
    for spec, gradient in zip(specs, gradients, strict=True):
        if gradient is not None:
            total = slots[f"{SLOT}/{spec.path}"]
            grid(spec.dtype)(np.add(dense(gradient), total, out=total))


def mean(
    specs: Sequence[WeightSpec], gradients: Gradients, slots: Mapping[str, Array], steps: int
) -> list[Array | None]:
    """Return the mean gradients of a window after its last step, and empty the slots for the next one."""
    means: list[Array | None] = []
    for spec, gradient in zip(specs, gradients, strict=True):
        total = slots[f"{SLOT}/{spec.path}"]
        means.append(None if gradient is None else grid(spec.dtype)(total / number_on(steps, spec.dtype)))
        total.fill(0)
    return means
