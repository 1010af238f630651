"""What weights are brought back to after each update. They run op by op in the variable's dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from engine.configured import (
    Configured,
    any_integer,
    any_number,
    choose,
    refuse,
    serialized,
    setting,
    split_serialized,
)
from engine.conventions import Conventions
from engine.dtypes import DType
from engine.errors import located
from engine.tape import Array, rounded

_EPSILON = 1e-7


def _axes(key: str, value: Any) -> int | tuple[int, ...]:
    return (
        tuple(any_integer(key, item) for item in value) if isinstance(value, list | tuple) else any_integer(key, value)
    )


class Constraint(Configured):
    """Base: a function of a weight. Source: ``keras.constraints.Constraint``."""

    def __call__(self, weight: Array, dtype: DType) -> Array:
        """Return the weight's new values, on the grid of its dtype."""
        raise AssertionError(f"{type(self).__name__} does not define its values")


@dataclass(frozen=True)
class NonNeg(Constraint):
    """No weight below 0."""

    def __call__(self, weight: Array, dtype: DType) -> Array:
        """Return the weight's new values, on the grid of its dtype."""
        return np.maximum(weight, 0)


@dataclass(frozen=True)
class MaxNorm(Constraint):
    """Norms along some axes are at most ``max_value``."""

    max_value: float = setting(any_number, 2)
    axis: int | tuple[int, ...] = setting(_axes, 0)

    def __call__(self, weight: Array, dtype: DType) -> Array:
        """Return the weight's new values, on the grid of its dtype."""
        norms = _norms(weight, self.axis, dtype)
        return _rescaled(weight, norms, rounded(np.clip(norms, 0, self.max_value), dtype), dtype)


@dataclass(frozen=True)
class UnitNorm(Constraint):
    """Norms along some axes are 1."""

    axis: int | tuple[int, ...] = setting(_axes, 0)

    def __call__(self, weight: Array, dtype: DType) -> Array:
        """Return the weight's new values, on the grid of its dtype."""
        return rounded(weight / _above_zero(_norms(weight, self.axis, dtype), dtype), dtype)


@dataclass(frozen=True)
class MinMaxNorm(Constraint):
    """Norms along some axes move towards [``min_value``, ``max_value``], by a share of ``rate``."""

    min_value: float = setting(any_number, 0.0)
    max_value: float = setting(any_number, 1.0)
    rate: float = setting(any_number, 1.0)
    axis: int | tuple[int, ...] = setting(_axes, 0)

    def __call__(self, weight: Array, dtype: DType) -> Array:
        """Return the weight's new values, on the grid of its dtype."""
        norms = _norms(weight, self.axis, dtype)
        kind = dtype.storage.type
        inside = rounded(kind(self.rate) * rounded(np.clip(norms, self.min_value, self.max_value), dtype), dtype)
        desired = rounded(inside + rounded(kind(1 - self.rate) * norms, dtype), dtype)
        return _rescaled(weight, norms, desired, dtype)


def _norms(weight: Array, axis: int | tuple[int, ...], dtype: DType) -> Array:
    squares = rounded(np.square(weight), dtype)
    return rounded(np.sqrt(rounded(squares.sum(axis=axis, keepdims=True), dtype)), dtype)


def _above_zero(norms: Array, dtype: DType) -> Array:
    return rounded(norms + dtype.storage.type(_EPSILON), dtype)


def _rescaled(weight: Array, norms: Array, desired: Array, dtype: DType) -> Array:
    return rounded(weight * rounded(desired / _above_zero(norms, dtype), dtype), dtype)


CONSTRAINTS: Mapping[str, type[Constraint]] = MappingProxyType(
    {cls.class_name: cls for cls in (MaxNorm, MinMaxNorm, NonNeg, UnitNorm)}
)
"""Every constraint by its Keras name."""

_NAMES: Mapping[str, str] = MappingProxyType(
    {"max_norm": "MaxNorm", "min_max_norm": "MinMaxNorm", "non_neg": "NonNeg", "unit_norm": "UnitNorm"}
)


def get(key: str, identifier: Any) -> Constraint | None:
    """Read a constraint: None, a name ("max_norm", "MaxNorm"), a serialized dict, or a Constraint.

    Raises:
        Unsupported: an unknown class or name.
        InvalidValue: not an identifier.
    """
    if identifier is None or isinstance(identifier, Constraint):
        return identifier
    if isinstance(identifier, str):
        return deserialize({"class_name": identifier, "config": {}})
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    raise refuse(key, "null, a name or a serialized constraint", identifier)


def deserialize(config: Mapping[str, Any]) -> Constraint:
    """Return the constraint that a serialized dict of Keras 2 or 3 describes."""
    name, inner = split_serialized("constraint", config)
    cls: type[Constraint] = choose("constraint", CONSTRAINTS, _NAMES.get(name, name))
    with located("config"):
        return cls.from_config(inner)


def write(constraint: Constraint | None, conventions: Conventions) -> dict[str, Any] | None:
    """Return what ``get_config`` shows of a constraint."""
    return None if constraint is None else serialized(constraint, conventions, "keras.constraints")


serialize = write
