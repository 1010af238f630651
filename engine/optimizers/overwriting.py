"""Variables whose "gradient" is their next value: the scales and histories of float8.

Source: ``BaseOptimizer._overwrite_variables_directly_with_gradients`` of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.gradients import Gradient, Gradients, dense
from engine.optimizers import window
from engine.tape import Array
from engine.weights import WeightSpec


def overwrite(
    iterations: int,
    steps: int,
    specs: Sequence[WeightSpec],
    variables: Sequence[Array],
    gradients: Gradients,
    slots: Mapping[str, Array],
) -> list[int]:
    """Set the variables that are overwritten; return the positions of the others.

    With gradient accumulation a variable gets the largest values of its window, at the end of it.

    Args:
        iterations: of the optimizer before this step.
        steps: of a window; 1 without accumulation.
        specs: of the variables.
        variables: written.
        gradients: one each.
        slots: of the optimizer; the accumulators are written.
    """
    others = []
    for position, (spec, variable, gradient) in enumerate(zip(specs, variables, gradients, strict=True)):
        if not spec.overwritten:
            others.append(position)
        elif gradient is not None:
            value = dense(gradient)
            if steps > 1:
                collected = slots[f"{window.SLOT}/{spec.path}"]
                value = np.maximum(value, collected, out=collected)
            if (iterations + 1) % steps == 0:
                np.copyto(variable, value)
                if steps > 1:
                    value.fill(0)
    return others


def kept_scaled(
    specs: Sequence[WeightSpec], scaled: Gradients, gradients: Sequence[Gradient | None]
) -> list[Gradient | None]:
    """Return unscaled gradients, but what overwrites a variable as it was: no loss scale is in it."""
    return [before if spec.overwritten else after for spec, before, after in zip(specs, scaled, gradients, strict=True)]
