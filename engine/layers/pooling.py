"""Pooling over windows and over whole sequences or images, channels last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine import ops
from engine.configured import boolean, optional, setting
from engine.dtypes import BFLOAT16
from engine.errors import ShapeMismatch
from engine.layers.base import Layer, Shape
from engine.layers.entering import Integers
from engine.layers.readers import data_format, lowered, padding, sizes
from engine.losses.sums import averaged
from engine.ops.windows import Pair, output_length
from engine.run import Run
from engine.tape import Array, Tensor


@dataclass(frozen=True, kw_only=True)
class Pooling(Layer):
    """Base: one number a window and channel. ``strides`` None means the window's size."""

    rank: ClassVar[int] = 2
    pooled: ClassVar[Callable[..., Tensor]] = staticmethod(ops.max_pool)

    pool_size: tuple[int, ...] = setting(sizes(2), 2)
    padding: str = setting(lowered(padding), "valid")
    strides: tuple[int, ...] | None = setting(optional(sizes(2)), None)
    data_format: str = setting(data_format, "channels_last")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strides is None:
            object.__setattr__(self, "strides", self.pool_size)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Places of the window; channels stay."""
        shape = shapes[0]
        if len(shape) != self.rank + 2:
            message = f"{self.class_name} {self.name!r} needs an input of {self.rank + 2} axes, got {list(shape)}."
            raise ShapeMismatch(message)
        parts = zip(shape[1:-1], self.pool_size, self.strides or (), strict=True)
        places = tuple(output_length(length, size, stride, 1, self.padding) for length, size, stride in parts)
        return (shape[0], *places, shape[-1])

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Pool every window."""
        x = inputs[0]
        image = x if self.rank == 2 else ops.reshape(x, (x.shape[0], 1, *x.shape[1:]))
        y = type(self).pooled(image, self._pair(self.pool_size), self._pair(self.strides or ()), self.padding)
        return y if self.rank == 2 else ops.reshape(y, (y.shape[0], *y.shape[2:]))

    def _pair(self, values: tuple[int, ...]) -> Pair:
        return (values[0], values[1]) if self.rank == 2 else (1, values[0])


@dataclass(frozen=True, kw_only=True)
class MaxPooling2D(Pooling):
    """The largest value of each window. Source: ``keras.layers.MaxPooling2D``."""


@dataclass(frozen=True, kw_only=True)
class AveragePooling2D(Pooling):
    """The mean of each window, padding not counted. Source: ``keras.layers.AveragePooling2D``."""

    integers: ClassVar[Integers] = "refused"

    pooled: ClassVar[Callable[..., Tensor]] = staticmethod(ops.average_pool)


@dataclass(frozen=True, kw_only=True)
class MaxPooling1D(Pooling):
    """The largest value of each window of a sequence. Source: ``keras.layers.MaxPooling1D``."""

    rank: ClassVar[int] = 1

    pool_size: tuple[int, ...] = setting(sizes(1), 2)
    strides: tuple[int, ...] | None = setting(optional(sizes(1)), None)


@dataclass(frozen=True, kw_only=True)
class AveragePooling1D(MaxPooling1D):
    """The mean of each window of a sequence. Source: ``keras.layers.AveragePooling1D``."""

    integers: ClassVar[Integers] = "refused"

    pooled: ClassVar[Callable[..., Tensor]] = staticmethod(ops.average_pool)


@dataclass(frozen=True, kw_only=True)
class GlobalPooling(Layer):
    """Base: one number a channel."""

    rank: ClassVar[int] = 2

    data_format: str = setting(data_format, "channels_last")
    keepdims: bool = setting(boolean, False, only="newer")

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Batch axis and channels, with axes of size 1 between them for ``keepdims``."""
        shape = shapes[0]
        if len(shape) != self.rank + 2:
            message = f"{self.class_name} {self.name!r} needs an input of {self.rank + 2} axes, got {list(shape)}."
            raise ShapeMismatch(message)
        between = (1,) * self.rank if self.keepdims else ()
        return (shape[0], *between, shape[-1])

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(1, self.rank + 1))

    def _kept(self, y: Tensor) -> Tensor:
        return ops.reshape(y, (y.shape[0], *(1,) * self.rank, y.shape[-1])) if self.keepdims else y

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """No steps are left."""
        return None


@dataclass(frozen=True, kw_only=True)
class GlobalAveragePooling2D(GlobalPooling):
    """The mean over height and width. Source: ``keras.layers.GlobalAveragePooling2D``."""

    integers: ClassVar[Integers] = "cast"

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Average."""
        return self._kept(self._mean(inputs[0]))

    def _mean(self, x: Tensor) -> Tensor:
        """Return the mean of every channel: Keras 3 takes it in float32, Keras 2 in x's dtype."""
        if self.conventions.keras3:
            return ops.mean(x, axis=self._axes)
        if x.dtype is BFLOAT16:
            return averaged(x, self.conventions, self._axes)
        return ops.narrow_mean(x, self._axes, self.conventions.sum_lanes)


@dataclass(frozen=True, kw_only=True)
class GlobalMaxPooling2D(GlobalPooling):
    """The largest value over height and width; ties share the gradient. Source: ``keras.layers.GlobalMaxPooling2D``."""

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Take the largest."""
        return self._kept(ops.reduce_max(inputs[0], axis=self._axes))


@dataclass(frozen=True, kw_only=True)
class GlobalMaxPooling1D(GlobalMaxPooling2D):
    """The largest value over the steps. Source: ``keras.layers.GlobalMaxPooling1D``."""

    rank: ClassVar[int] = 1


@dataclass(frozen=True, kw_only=True)
class GlobalAveragePooling1D(GlobalAveragePooling2D):
    """The mean over the steps that the mask leaves. Source: ``keras.layers.GlobalAveragePooling1D``."""

    integers: ClassVar[Integers] = "cast"

    rank: ClassVar[int] = 1

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Average over the steps that count."""
        x = inputs[0]
        if x.mask is None:
            return self._kept(self._mean(x))
        weights, lanes = Tensor(x.mask[..., np.newaxis].astype(x.data.dtype), x.dtype), self.conventions.sum_lanes
        kept = ops.where(weights.data > 0, x, ops.constant(0, x.dtype)) if self.conventions.keras3 else None
        total = ops.narrow_sum(kept or ops.multiply(x, weights), 1, lanes)
        counts = ops.narrow_sum(weights, 1, lanes)
        return self._kept(ops.divide(total, counts))
