"""Weight and activity penalties. They run in the dtype of what they are given: variables give their variable dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from engine import ops
from engine.configured import (
    Configured,
    any_number,
    choose,
    not_negative,
    one_of,
    refuse,
    serialized,
    setting,
    split_serialized,
)
from engine.conventions import TF24, TF_KERAS, Conventions
from engine.errors import ShapeMismatch, located
from engine.ops.half_rows import EIGEN_2025
from engine.ops.narrow_losses import half_of_squares, l2_normalized
from engine.tape import Tensor, constant

_SMALLEST_SQUARES = 1e-12
"""What ``tf.math.l2_normalize`` takes for a smaller sum of squares."""


class Regularizer(Configured):
    """Base: a function of a tensor that returns a scalar penalty. Source: ``keras.regularizers.Regularizer``."""

    def check(self, shape: tuple[int, ...]) -> None:
        """Accept variables of this shape, as most do of any. Raises: ShapeMismatch."""

    def __call__(self, x: Tensor, line: Conventions = TF24) -> Tensor:
        """Return the penalty of x, as a line of Keras computes it: shape (), x's dtype."""
        raise AssertionError(f"{type(self).__name__} does not define a penalty")


def _l1(x: Tensor, factor: float, line: Conventions) -> Tensor:
    return _times(ops.reduce_sum(ops.absolute(x)), factor)


def _l2(x: Tensor, factor: float, line: Conventions) -> Tensor:
    if line.name == TF_KERAS.name:  # its op takes half of the squares, and their gradient without squaring
        return _times(half_of_squares(x), 2 * factor)
    return _times(ops.reduce_sum(ops.square(x)), factor)


def _times(penalty: Tensor, factor: float) -> Tensor:
    """Return a multiple of a penalty; Keras on TensorFlow holds the factor as float32 even where x is float64."""
    return ops.scale(penalty, float(np.float32(factor)))


def _as_float32(value: float, conventions: Conventions) -> float:
    """Return what Keras 3 prints of numbers that it keeps as tensors."""
    return float(np.float32(value)) if conventions.keras3 else value


@dataclass(frozen=True)
class L1(Regularizer):
    """``l1 * sum(|x|)``."""

    l1: float = setting(not_negative, 0.01, write=_as_float32)

    def __call__(self, x: Tensor, line: Conventions = TF24) -> Tensor:
        """Return the penalty of x: shape (), x's dtype."""
        return _l1(x, self.l1, line)


@dataclass(frozen=True)
class L2(Regularizer):
    """``l2 * sum(x ** 2)``."""

    l2: float = setting(not_negative, 0.01)

    def __call__(self, x: Tensor, line: Conventions = TF24) -> Tensor:
        """Return the penalty of x: shape (), x's dtype."""
        return _l2(x, self.l2, line)


@dataclass(frozen=True)
class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x ** 2)``."""

    l1: float = setting(not_negative, 0.0)
    l2: float = setting(not_negative, 0.0)

    def __call__(self, x: Tensor, line: Conventions = TF24) -> Tensor:
        """Return the penalty of x: shape (), x's dtype."""
        parts = [part(x, factor, line) for part, factor in ((_l1, self.l1), (_l2, self.l2)) if factor]
        if not parts:
            return constant(0, x.dtype)  # whatever x holds
        return parts[0] if len(parts) == 1 else ops.add(*parts)


@dataclass(frozen=True)
class OrthogonalRegularizer(Regularizer):
    """The mean over pairs of rows (or columns) of ``|cosine|``, times the factor. Source: Keras 3's class.

    Matrices only.
    """

    factor: float = setting(any_number, 0.01, write=_as_float32)
    mode: str = setting(one_of("rows", "columns"), "rows")

    def check(self, shape: tuple[int, ...]) -> None:
        """Accept matrices. Raises: ShapeMismatch."""
        if len(shape) != 2:
            message = f"OrthogonalRegularizer takes variables of two axes, got shape {list(shape)}."
            raise ShapeMismatch(message, code="regularizer_shape")

    def __call__(self, x: Tensor, line: Conventions = TF24) -> Tensor:
        """Return the penalty of a matrix: shape (), x's dtype. Raises: ShapeMismatch."""
        self.check(x.shape)
        along = 1 if self.mode == "rows" else 0
        if line.name == TF_KERAS.name:
            unit = l2_normalized(x, along, float(constant(_SMALLEST_SQUARES, x.dtype).data), EIGEN_2025)
        else:
            unit = ops.unit_normalization(x, (along,))
        turned = ops.transpose(unit, (1, 0))
        products = ops.matmul(unit, turned) if along else ops.matmul(turned, unit)
        count = products.shape[0]
        others = ops.multiply(products, Tensor(1 - np.eye(count, dtype=x.data.dtype), x.dtype))
        total = ops.reduce_sum(ops.absolute(others))
        halved = ops.scale(total, float(np.float32(self.factor * 0.5)))
        return ops.divide(halved, constant(count * (count - 1) / 2, x.dtype))


REGULARIZERS: Mapping[str, type[Regularizer]] = MappingProxyType(
    {"L1": L1, "L2": L2, "L1L2": L1L2, "OrthogonalRegularizer": OrthogonalRegularizer}
)
_BY_NAME: Mapping[str, Regularizer] = MappingProxyType(
    {
        "l1": L1(),
        "l2": L2(),
        "l1_l2": L1L2(0.01, 0.01),
        "orthogonal_regularizer": OrthogonalRegularizer(),
        **{name: cls() for name, cls in REGULARIZERS.items()},
    }
)


def get(key: str, identifier: Any) -> Regularizer | None:
    """Read a regularizer: None, "l1", "l2", "l1_l2", a serialized dict, or a Regularizer.

    Raises:
        Unsupported: an unknown class or name.
        InvalidValue: not an identifier.
    """
    if identifier is None or isinstance(identifier, Regularizer):
        return identifier
    if isinstance(identifier, str):
        found: Regularizer = choose("regularizer", _BY_NAME, identifier)
        return found
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    raise refuse(key, "null, a name or a serialized regularizer", identifier)


def deserialize(config: Mapping[str, Any]) -> Regularizer:
    """Return the regularizer that a serialized dict of Keras 2 or 3 describes."""
    name, inner = split_serialized("regularizer", config)
    cls: type[Regularizer] = choose("regularizer", REGULARIZERS, name)
    with located("config"):
        return cls.from_config(inner)


def write(regularizer: Regularizer | None, conventions: Conventions) -> dict[str, Any] | None:
    """Return what ``get_config`` shows of a regularizer."""
    return None if regularizer is None else serialized(regularizer, conventions, "keras.regularizers")


serialize = write
