"""Normalization within each row: LayerNormalization and its kin. Statistics run in float32 at least."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from engine import constraints, initializers, ops, regularizers
from engine.configured import any_integer, boolean, not_negative, refuse, setting
from engine.constraints import Constraint
from engine.dtypes import FLOAT32, DType
from engine.errors import ShapeMismatch
from engine.initializers import Initializer, Ones, Zeros
from engine.layers.base import Layer, Shape
from engine.layers.entering import Integers
from engine.layers.operands import FLOATS, HALVES_AND_FLOAT, check_attribute, check_match, check_taken
from engine.layers.readers import along, axes, axis, axis_or_axes, write_axes
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Tensor
from engine.weights import WeightSpec

_LEAST_FUSED_EPSILON = 1.001e-5
"""TF's fused kernel takes no smaller one."""


@dataclass(frozen=True, kw_only=True)
class RowNormalization(Layer):
    """Base: a scale, an offset, and where they lie."""

    supports_masking: ClassVar[bool] = True

    def positions(self, ndim: int) -> tuple[int, ...]:
        """Return the axes that gamma and beta run along, not negative, in order."""
        raise AssertionError(f"{self.class_name} does not say what it normalizes")

    def _places(self, given: tuple[int, ...], ndim: int) -> tuple[int, ...]:
        places = tuple(sorted({index + ndim if index < 0 else index for index in given}))
        if not places or places[0] < 1 or places[-1] >= ndim:
            raise ShapeMismatch(
                f"{self.class_name} {self.name!r} has axis {list(given)}, which an input of {ndim} axes (batch axis "
                "first) does not offer.",
                path=("axis",),
            )
        return places

    def _parameter_shape(self, shape: Shape) -> tuple[int, ...]:
        sizes = [shape[place] for place in self.positions(len(shape))]
        if None in sizes:
            raise ShapeMismatch(f"{self.class_name} {self.name!r} needs known sizes to normalize, got {list(shape)}.")
        return tuple(size for size in sizes if size is not None)

    def read_dtype(self, spec: WeightSpec) -> DType:
        """That of the variable: nothing is cast before the end."""
        return spec.dtype

    def _broadcast(self, run: Run, name: str, present: bool, x: Tensor, fill: float) -> Tensor:
        """Return a parameter in a shape that broadcasts to x, or a constant where there is none."""
        if not present:
            return Tensor(np.full((1,) * x.ndim, fill, x.data.dtype), x.dtype)
        parameter = self.variable(run, name)
        places = self.positions(x.ndim)
        shape = tuple(x.shape[index] if index in places else 1 for index in range(x.ndim))
        return ops.reshape(parameter, shape)


@dataclass(frozen=True, kw_only=True)
class CentredNormalization(RowNormalization):
    """Base of normalizations with both a scale and an offset."""

    integers: ClassVar[Integers] = "cast"

    center: bool = setting(boolean, True)
    scale: bool = setting(boolean, True)
    beta_initializer: Initializer = setting(initializers.read, Zeros(), write=initializers.write)
    gamma_initializer: Initializer = setting(initializers.read, Ones(), write=initializers.write)
    beta_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    gamma_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    beta_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    gamma_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Gamma and beta, as far as wanted."""
        size = self._parameter_shape(shapes[0])
        gamma = self.spec("gamma", size, self.gamma_initializer, self.gamma_regularizer)
        beta = self.spec("beta", size, self.beta_initializer, self.beta_regularizer)
        return (*((gamma,) if self.scale else ()), *((beta,) if self.center else ()))


@dataclass(frozen=True, kw_only=True)
class LayerNormalization(CentredNormalization):
    """Each row to mean 0 and deviation 1 along axes (Ba 2016). Source: ``keras.layers.LayerNormalization``."""

    axis: tuple[int, ...] = setting(axes, -1, write=write_axes)
    epsilon: float = setting(not_negative, 0.001)
    rms_scaling: bool = setting(boolean, False, only="keras3")

    def positions(self, ndim: int) -> tuple[int, ...]:
        """The normalized axes."""
        return self._places(self.axis, ndim)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Normalize, scale, shift."""
        x = inputs[0]
        self._check_dtype(x.dtype)
        gamma = self._broadcast(run, "gamma", self.scale, x, 1)
        beta = self._broadcast(run, "beta", self.center and not self.rms_scaling, x, 0)
        places = self.positions(x.ndim)
        return ops.layer_normalization(x, gamma, beta, places, self.epsilon, centred=not self.rms_scaling)

    def _check_dtype(self, dtype: DType) -> None:
        """Refuse what TF's kernels refuse: the fused one, for float32 parameters, or the products with them."""
        if self.conventions.keras3:
            return
        if self.policy.variable is FLOAT32 and self.epsilon >= _LEAST_FUSED_EPSILON:
            check_taken("x", dtype, HALVES_AND_FLOAT)
        else:
            check_match("Mul", "y", self.policy.variable, "x", dtype)


def _groups(key: str, value: Any) -> int:
    groups = any_integer(key, value)
    if groups != -1 and groups < 1:
        raise refuse(key, "a positive integer, or -1 for one group a channel", value)
    return groups


@dataclass(frozen=True, kw_only=True)
class GroupNormalization(CentredNormalization):
    """Each group of channels to mean 0 and deviation 1 (Wu 2018). Source: ``keras.layers.GroupNormalization``."""

    groups: int = setting(_groups, 32)
    axis: int = setting(axis, -1)
    epsilon: float = setting(not_negative, 0.001)

    def positions(self, ndim: int) -> tuple[int, ...]:
        """The channels axis."""
        return self._places((self.axis,), ndim)

    def _count(self, channels: int) -> int:
        count = channels if self.groups == -1 else self.groups
        if channels % count:
            message = f"{channels} channels cannot be cut into {count} groups."
            raise ShapeMismatch(message, path=("groups",))
        return count

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the input, whose channels the groups must divide."""
        self._count(self._parameter_shape(shapes[0])[0])
        return shapes[0]

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Normalize group by group, scale, shift."""
        x, last = inputs[0], inputs[0].ndim - 1
        (place,) = self.positions(x.ndim)
        if place == last:
            return self._normalized(run, x)
        order = (*(axis for axis in range(x.ndim) if axis != place), place)
        back = (*range(place), last, *range(place, last))
        return ops.transpose(self._normalized(run, ops.transpose(x, order)), back)

    def _normalized(self, run: Run, x: Tensor) -> Tensor:
        count = self._count(x.shape[-1])
        parts = (count, x.shape[-1] // count)
        cut = ops.reshape(x, (*x.shape[:-1], *parts))
        shape = ((1,) * (x.ndim - 1)) + parts
        gamma = self._parameter(run, "gamma", self.scale, cut, shape)
        beta = self._parameter(run, "beta", self.center, cut, shape)
        along = (*range(1, x.ndim - 1), x.ndim)
        return ops.reshape(ops.layer_normalization(cut, gamma, beta, along, self.epsilon), x.shape)

    def _parameter(self, run: Run, name: str, present: bool, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        if not present:
            return Tensor(np.full((1,) * x.ndim, float(name == "gamma"), x.data.dtype), x.dtype)
        return ops.reshape(self.variable(run, name), shape)


@dataclass(frozen=True, kw_only=True)
class RMSNormalization(RowNormalization):
    """Each row to root mean square 1 (Zhang 2019). Source: ``keras.layers.RMSNormalization``."""

    supports_masking: ClassVar[bool] = False
    integers: ClassVar[Integers] = "cast"

    axis: tuple[int, ...] = setting(axes, -1, write=write_axes)
    epsilon: float = setting(not_negative, 1e-6)

    def positions(self, ndim: int) -> tuple[int, ...]:
        """The normalized axes."""
        return self._places(self.axis, ndim)

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """The scale."""
        return (self.spec("scale", self._parameter_shape(shapes[0]), Ones()),)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Normalize and scale."""
        x = inputs[0]
        check_attribute(x.dtype, FLOATS)
        scale = self._broadcast(run, "scale", True, x, 1)
        none = Tensor(np.zeros((1,) * x.ndim, x.data.dtype), x.dtype)
        return ops.layer_normalization(x, scale, none, self.positions(x.ndim), self.epsilon, centred=False)


@dataclass(frozen=True, kw_only=True)
class UnitNormalization(Layer):
    """Each row to Euclidean norm 1. Source: ``keras.layers.UnitNormalization``."""

    supports_masking: ClassVar[bool] = True

    axis: int | tuple[int, ...] = setting(axis_or_axes, -1)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Divide by the norm."""
        check_attribute(inputs[0].dtype, FLOATS)
        return ops.unit_normalization(inputs[0], along(self.axis))
