"""Limits on gradients: of every number, of every gradient's norm, of the norm of all of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from engine.dtypes import DType
from engine.gradients import Gradient, Gradients, mapped, values_of
from engine.optimizers.arithmetic import number_on
from engine.tape import Array, rounded

Clip: TypeAlias = Callable[[Gradients, Sequence[DType], float], list[Gradient | None]]
"""``(gradients, dtypes, limit) -> gradients``. Rows count one by one, merged or not, as in TensorFlow."""


def clipped_by_value(gradients: Gradients, dtypes: Sequence[DType], limit: float) -> list[Gradient | None]:
    """Limit the magnitude of every number."""
    bounds = [number_on(limit, dtype) for dtype in dtypes]
    return [
        None if gradient is None else mapped(partial(np.clip, a_min=-bound, a_max=bound), gradient)
        for gradient, bound in zip(gradients, bounds, strict=True)
    ]


def clipped_by_norm(gradients: Gradients, dtypes: Sequence[DType], limit: float) -> list[Gradient | None]:
    """Limit the norm of every gradient: ``g * limit / max(norm, limit)``, as ``tf.clip_by_norm``."""
    found: list[Gradient | None] = []
    for gradient, dtype in zip(gradients, dtypes, strict=True):
        bound = number_on(limit, dtype)
        longest = np.maximum(norm([gradient], [dtype]), bound)
        found.append(None if gradient is None else mapped(partial(_scaled, dtype, bound, longest), gradient))
    return found


def clipped_by_global_norm(gradients: Gradients, dtypes: Sequence[DType], limit: float) -> list[Gradient | None]:
    """Limit the norm of all gradients together: ``g * (limit * min(1 / norm, 1 / limit))``, as TensorFlow does.

    A norm that is not finite leaves nan everywhere: the step was broken before.
    """
    total = norm(gradients, dtypes)
    with np.errstate(all="ignore"):
        kind = type(total)
        share = kind(limit) * np.minimum(kind(1) / total, kind(1) / kind(limit)) + (total - total)
    return [
        None if gradient is None else mapped(partial(_scaled, dtype, number_on(share, dtype), None), gradient)
        for gradient, dtype in zip(gradients, dtypes, strict=True)
    ]


def _scaled(dtype: DType, factor: Any, divisor: Any, values: Array) -> Array:
    product = rounded(np.asarray(values * factor), dtype)  # numpy's product of arrays without axes is none
    return product if divisor is None else rounded(np.divide(product, divisor, out=product), dtype)


def norm(gradients: Gradients, dtypes: Sequence[DType]) -> Any:
    """Return the norm of gradients together, a number of their dtype; the sum of squares of each has to fit it."""
    squares = [
        number_on(np.vdot(values_of(gradient), values_of(gradient)), dtype)
        for gradient, dtype in zip(gradients, dtypes, strict=True)
        if gradient is not None
    ]
    total = np.sqrt(np.sum(np.array(squares))) if squares else np.float32(0)
    return number_on(total, dtypes[0]) if dtypes and all(dtype is dtypes[0] for dtype in dtypes) else total
