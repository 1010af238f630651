"""Limits on gradients: of every number, of every gradient's norm, of the norm of all of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from engine.dtypes import DType
from engine.gradients import Gradient, Gradients, mapped, values_of
from engine.optimizers.arithmetic import number_on
from engine.tape import rounded

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
    """Limit the norm of every gradient."""
    return [
        None if gradient is None else _times(gradient, dtype, _shrinkage(_norm([gradient], [dtype]), limit))
        for gradient, dtype in zip(gradients, dtypes, strict=True)
    ]


def clipped_by_global_norm(gradients: Gradients, dtypes: Sequence[DType], limit: float) -> list[Gradient | None]:
    """Limit the norm of all gradients together."""
    norm = _norm(gradients, dtypes)
    # tf.clip_by_global_norm gives nan everywhere once the norm is not finite: the step was broken before.
    factor = _shrinkage(norm if np.isfinite(norm) else np.nan, limit)
    return [
        None if gradient is None else _times(gradient, dtype, factor)
        for gradient, dtype in zip(gradients, dtypes, strict=True)
    ]


def _norm(gradients: Gradients, dtypes: Sequence[DType]) -> float:
    """Return the norm; the sum of the squares of each gradient has to fit its dtype."""
    squares = [
        number_on(np.vdot(values_of(gradient), values_of(gradient)), dtype)
        for gradient, dtype in zip(gradients, dtypes, strict=True)
        if gradient is not None
    ]
    return float(np.sqrt(np.sum(squares)))


def _times(gradient: Gradient, dtype: DType, factor: float) -> Gradient:
    return mapped(lambda values: rounded(values * values.dtype.type(factor), dtype), gradient)


def _shrinkage(norm: float, limit: float) -> float:
    """Return what a gradient is multiplied by: an infinite norm leaves zeros (and nan of infinities), nan only nan."""
    if np.isnan(norm):
        return norm
    return limit / norm if norm > limit else 1.0
