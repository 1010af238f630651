"""Which rows of a variable an update touches, where its gradient has only some of them.

Keras 3 on TensorFlow updates all rows, and squares the parts of a repeated row one by one. tf_keras adds the parts
first. TF 2.4 adds them too, but most of its kernels leave the other rows alone, momentum and all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from engine.dtypes import DType
from engine.gradients import RowGradient
from engine.optimizers.arithmetic import grid
from engine.tape import Array

Touches: TypeAlias = Literal["parts", "all", "slots", "rows"]
"""What an update touches: all rows, by unmerged "parts"; "all" of them; all rows of the "slots", but of the variable
only those with a gradient; or only those "rows" of both."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One variable on its turn.

    Attributes:
        variable: values on the grid of the dtype; written.
        gradient: dense, clipped; of rows, their sum.
        magnitude: what to square where squares of the gradient are wanted: the gradient itself, or of unmerged parts
            the root of the sum of their squares.
        size: whose absolute values to take: the gradient itself, or of unmerged parts the sum of theirs.
        slots: name -> array; written.
        dtype: of the variable.
    """

    variable: Array
    gradient: Array
    magnitude: Array
    size: Array
    slots: Mapping[str, Array]
    dtype: DType

    @classmethod
    def dense(cls, variable: Array, gradient: Array, slots: Mapping[str, Array], dtype: DType) -> Target:
        """Return the target of a gradient without parts.

        A number without axes is shown as one along one axis, since numpy's operators return no arrays for the former.
        """
        if variable.ndim == 0:
            variable, gradient = variable.reshape(1), np.reshape(gradient, 1)
            slots = {name: array.reshape(1) if array.ndim == 0 else array for name, array in slots.items()}
        return cls(variable, gradient, gradient, gradient, slots, dtype)


Update: TypeAlias = Callable[[Target, Any], None]


def update_rows(update: Update, target: Target, gradient: RowGradient, numbers: Any, touches: Touches) -> None:
    """Update a variable by the gradient of some of its rows.

    Args:
        update: what an optimizer does with a dense gradient.
        target: the variable, its slots, and the sum of the parts.
        gradient: the parts, clipped.
        numbers: for the update.
        touches: what else than those rows is touched.
    """
    on = grid(target.dtype)
    total = on(target.gradient)
    whole = Target.dense(target.variable, total, target.slots, target.dtype)
    if touches == "parts":
        update(replace(whole, magnitude=on(gradient.magnitudes()), size=on(gradient.sizes())), numbers)
    elif touches == "all":
        update(whole, numbers)
    elif touches == "slots":
        _keeping_other_rows(update, whole, np.unique(gradient.indices), numbers)
    else:
        _only_rows(update, whole, np.unique(gradient.indices), numbers)


def _keeping_other_rows(update: Update, whole: Target, rows: Array, numbers: Any) -> None:
    changed = whole.variable.copy()
    update(replace(whole, variable=changed), numbers)
    whole.variable[rows] = changed[rows]


def _only_rows(update: Update, whole: Target, rows: Array, numbers: Any) -> None:
    variable = whole.variable[rows]
    slots = {name: array[rows] for name, array in whole.slots.items()}
    update(Target.dense(variable, whole.gradient[rows], slots, whole.dtype), numbers)
    whole.variable[rows] = variable
    for name, array in whole.slots.items():
        array[rows] = slots[name]
