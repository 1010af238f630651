"""Normalization within each row: LayerNormalization and its kin, each in the arithmetic of its line of Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from engine import constraints, initializers, ops, regularizers
from engine.configured import any_integer, boolean, not_negative, refuse, setting
from engine.constraints import Constraint
from engine.dtypes import FLOAT32, FLOAT64, DType
from engine.errors import ShapeMismatch
from engine.initializers import Initializer, Ones, Zeros
from engine.layers.base import Layer, Shape
from engine.layers.entering import Integers
from engine.layers.masks import spread
from engine.layers.operands import FLOATS, HALVES_AND_FLOAT, check_attribute, check_match, check_taken
from engine.layers.readers import along, axes, axis, axis_or_axes, write_axes
from engine.ops.powers import reciprocal_root
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Array, Tensor
from engine.weights import WeightSpec

_LEAST_FUSED_EPSILON = 1.001e-5
"""TF's fused kernel takes no smaller one."""
_LARGEST_INVERSE = 1e12
"""Of a norm in Keras 3's UnitNormalization."""


def _constant(x: Tensor, fill: float) -> Tensor:
    """Return a number that broadcasts to x, in x's dtype."""
    return Tensor(np.full((1,) * x.ndim, fill, x.data.dtype), x.dtype)


@dataclass(frozen=True, kw_only=True)
class RowNormalization(Layer):
    """Base: a scale, an offset, and where they lie."""

    supports_masking: ClassVar[bool] = True

    @property
    def narrow_statistics(self) -> bool:
        """Whether mean and variance are rounded to the compute dtype before they are used."""
        return False

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

    def _spread(self, parameter: Tensor, x: Tensor) -> Tensor:
        """Return a parameter in a shape that broadcasts to x."""
        places = self.positions(x.ndim)
        return ops.reshape(parameter, tuple(x.shape[index] if index in places else 1 for index in range(x.ndim)))


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

    def entering_dtype(self, dtype: DType) -> DType:
        """As everywhere in Keras 2; in Keras 3 floats enter as they are (``autocast`` is off)."""
        return dtype if self.conventions.keras3 and dtype.is_floating else super().entering_dtype(dtype)

    def output_dtype(self, *entered: DType) -> DType:
        """As everywhere in Keras 2; in Keras 3 the result is cast to the compute dtype."""
        return self.converted(entered[0]) if self.conventions.keras3 else super().output_dtype(*entered)

    @property
    def scaled(self) -> bool:
        """Whether there is a scale."""
        return self.scale

    @property
    def shifted(self) -> bool:
        """Whether there is an offset."""
        return self.center

    def finished(self, y: Tensor) -> Tensor:
        """Return the result in the compute dtype."""
        return ops.cast(y, self.converted(y.dtype))

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Gamma and beta, as far as wanted."""
        size = self._parameter_shape(shapes[0])
        gamma = self.spec("gamma", size, self.gamma_initializer, self.gamma_regularizer)
        beta = self.spec("beta", size, self.beta_initializer, self.beta_regularizer)
        return (*((gamma,) if self.scaled else ()), *((beta,) if self.shifted else ()))


@dataclass(frozen=True, kw_only=True)
class LayerNormalization(CentredNormalization):
    """Each row to mean 0 and deviation 1 along axes (Ba 2016). Source: ``keras.layers.LayerNormalization``."""

    axis: tuple[int, ...] = setting(axes, -1, write=write_axes)
    epsilon: float = setting(not_negative, 0.001)
    rms_scaling: bool = setting(boolean, False, only="keras3")

    @property
    def narrow_statistics(self) -> bool:
        """In Keras 2, of a narrow dtype all the way."""
        return not self.conventions.keras3 and self.policy.variable.low_precision

    def positions(self, ndim: int) -> tuple[int, ...]:
        """The normalized axes."""
        return self._places(self.axis, ndim)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Normalize, scale, shift."""
        x = inputs[0]
        gamma = self._spread(self.variable(run, "gamma"), x) if self.scaled else None
        beta = self._spread(self.variable(run, "beta"), x) if self.shifted else None
        if self.conventions.keras3:
            return self.finished(self._in_float32(x, gamma, beta, folded=True))
        if self._is_fused(x.ndim):
            check_taken("x", x.dtype, HALVES_AND_FLOAT)
            y = self._in_float32(x, None, None)
            y = y if gamma is None else ops.multiply(y, ops.cast(gamma, y.dtype))
            return y if beta is None else ops.add(y, ops.cast(beta, y.dtype))
        if self.policy.variable is FLOAT32 and x.dtype.low_precision:
            return self._in_float32(x, gamma, beta, folded=True)
        check_match("Mul", "y", self.policy.variable, "x", x.dtype)
        return ops.normalize_by(x, *ops.moments(x, self.positions(x.ndim)), gamma, beta, self.epsilon)

    @property
    def scaled(self) -> bool:
        """Whether there is a scale: with ``rms_scaling`` always."""
        return self.scale or self.rms_scaling

    @property
    def shifted(self) -> bool:
        """Whether there is an offset: with ``rms_scaling`` never."""
        return self.center and not self.rms_scaling

    def _is_fused(self, ndim: int) -> bool:
        """Whether Keras 2 uses TF's kernel for batches: for float32 variables and the last axes only."""
        places = self.positions(ndim)
        last = places[-1] == ndim - 1 and len(places) == ndim - places[0]
        return last and self.policy.variable is FLOAT32 and self.epsilon >= _LEAST_FUSED_EPSILON

    def _in_float32(self, x: Tensor, gamma: Tensor | None, beta: Tensor | None, *, folded: bool = False) -> Tensor:
        """Return it in x's dtype, computed in float32 at least."""
        scale, offset = gamma or _constant(x, 1), beta or _constant(x, 0)
        places = self.positions(x.ndim)
        if not self.rms_scaling:
            return ops.layer_normalization(x, scale, offset, places, self.epsilon, folded=folded)
        # By the deviation, but the mean stays: so Keras 3 has it, where a warning calls it incorrect.
        wide = ops.cast(x, FLOAT64 if x.dtype is FLOAT64 else FLOAT32)
        spread = ops.add(ops.moments(wide, places)[1], ops.constant(self.epsilon, wide.dtype))
        y = ops.multiply(ops.multiply(wide, reciprocal_root(spread)), ops.cast(scale, wide.dtype))
        return ops.cast(y, x.dtype)


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

    @property
    def narrow_statistics(self) -> bool:
        """In tf_keras."""
        return not self.conventions.keras3 and self.policy.compute.low_precision

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
        counts = (
            None
            if x.mask is None or self.conventions.keras3
            else spread(f"{self.class_name} {self.name!r}", x.mask, x.shape)
        )
        order = (*(axis for axis in range(x.ndim) if axis != place), place)
        back = (*range(place), last, *range(place, last))
        moved = x if place == last else ops.transpose(x, order)
        y = self._normalized(run, moved, counts if counts is None else counts.transpose(order))
        return y if place == last else ops.transpose(y, back)

    def _normalized(self, run: Run, x: Tensor, counts: Array | None) -> Tensor:
        count = self._count(x.shape[-1])
        parts = (count, x.shape[-1] // count)
        cut = ops.reshape(x, (*x.shape[:-1], *parts))
        shape = ((1,) * (x.ndim - 1)) + parts
        gamma = ops.reshape(self._parameter(run, "gamma"), shape) if self.scale else None
        beta = ops.reshape(self._parameter(run, "beta"), shape) if self.center else None
        along = (*range(1, x.ndim - 1), x.ndim)
        if self.conventions.keras3:
            scale, offset = gamma or _constant(cut, 1), beta or _constant(cut, 0)
            y = ops.layer_normalization(cut, scale, offset, along, self.epsilon, folded=True)
            return self.finished(ops.reshape(y, x.shape))
        check_attribute(x.dtype, FLOATS)
        for parameter in (gamma, beta):
            if parameter is not None:
                check_match("Mul", "y", parameter.dtype, "x", x.dtype)
        often = np.ones(cut.shape, cut.data.dtype) if counts is None else counts.reshape(cut.shape)
        y = ops.normalize_by(cut, *ops.weighted_moments(cut, along, often), gamma, beta, self.epsilon)
        return ops.reshape(y, x.shape)

    def read_dtype(self, spec: WeightSpec) -> DType:
        """That of the variable in Keras 3; tf_keras casts it as every other."""
        return spec.dtype if self.conventions.keras3 else Layer.read_dtype(self, spec)

    def _parameter(self, run: Run, name: str) -> Tensor:
        return self.variable(run, name) if self.conventions.keras3 else self.weight(run, name)


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
        """Normalize and scale; the scale is cast to the compute dtype, and back to float32 for the product."""
        x = inputs[0]
        check_attribute(x.dtype, FLOATS)
        scale = self._spread(self.weight(run, "scale"), x)
        places = self.positions(x.ndim)
        return ops.layer_normalization(x, scale, _constant(x, 0), places, self.epsilon, centred=False)

    def read_dtype(self, spec: WeightSpec) -> DType:
        """The compute dtype, as of most layers."""
        return Layer.read_dtype(self, spec)


@dataclass(frozen=True, kw_only=True)
class UnitNormalization(Layer):
    """Each row to Euclidean norm 1. Source: ``keras.layers.UnitNormalization``."""

    supports_masking: ClassVar[bool] = True

    axis: int | tuple[int, ...] = setting(axis_or_axes, -1)

    @property
    def narrow_statistics(self) -> bool:
        """Whether the norm is computed in a narrow dtype."""
        return self.policy.compute.low_precision

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Divide by the norm, op by op in the compute dtype."""
        x, line = inputs[0], self.conventions
        check_attribute(x.dtype, FLOATS)
        largest = _LARGEST_INVERSE if line.keras3 else None
        return ops.unit_normalization(x, along(self.axis), largest_inverse=largest, lanes=line.sum_lanes)
