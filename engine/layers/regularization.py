"""Layers that disturb training so that it generalizes: random zeros, noise, and penalties on activity.

Randomness follows the job's seed and the step, so a resumed run draws the same; a layer's own seed is mixed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine import ops
from engine.configured import (
    any_integer,
    boolean,
    dimensions,
    fraction,
    not_negative,
    optional,
    setting,
    unsupported_unless,
)
from engine.errors import ShapeMismatch
from engine.layers.base import Layer, Shape
from engine.layers.noise import dropped
from engine.layers.readers import data_format
from engine.regularizers import L1L2, Regularizer
from engine.run import Run
from engine.tape import Array, Tensor

_ALPHA_PRIME = -1.7580993408473766  # selu's limit towards minus infinity: -alpha * scale


def _spreads(wanted: Shape, shape: Shape) -> bool:
    return all(size in {None, 1, have} or have is None for size, have in zip(wanted, shape, strict=True))


@dataclass(frozen=True)
class Dropout(Layer):
    """Sets a share of the inputs to 0 and scales the others by ``1 / (1 - rate)``; nothing outside training.

    Source: ``keras.layers.Dropout`` (Srivastava 2014).
    """

    supports_masking: ClassVar[bool] = True

    rate: float = setting(fraction)
    noise_shape: Shape | None = setting(optional(dimensions), None)
    seed: int | None = setting(optional(any_integer), None)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the input, over which the noise must spread.

        Raises:
            ShapeMismatch: the noise's shape does not fit.
        """
        wanted = self.noise_shape
        if wanted is not None and (
            len(wanted) != len(shapes[0])
            or any(
                size not in {None, 1, have} for size, have in zip(wanted, shapes[0], strict=True) if have is not None
            )
        ):
            message = f"`noise_shape` {list(wanted)} of {self.name!r} does not fit inputs of shape {list(shapes[0])}."
            raise ShapeMismatch(message, path=("noise_shape",))
        return shapes[0]

    def pattern(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of what is drawn, which is spread over the inputs; null takes the input's size."""
        if self.noise_shape is None:
            return shape
        return tuple(have if size is None else size for size, have in zip(self.noise_shape, shape, strict=True))

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return inputs with random zeros while training, else inputs."""
        return dropped(run, inputs[0], self.rate, self.seed, self.pattern(inputs[0].shape))


@dataclass(frozen=True, kw_only=True)
class SpatialDropout1D(Dropout):
    """Drops whole features of a sequence (Tompson 2014). Source: ``keras.layers.SpatialDropout1D``."""

    trainable: bool = setting(boolean, True, only="keras2")
    noise_shape: None = setting(unsupported_unless(None), None, only="keras2")

    def pattern(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One number a row and feature."""
        return (shape[0], *(1,) * (len(shape) - 2), shape[-1])


@dataclass(frozen=True, kw_only=True)
class SpatialDropout2D(SpatialDropout1D):
    """Drops whole channels of an image. Source: ``keras.layers.SpatialDropout2D``."""

    data_format: str = setting(data_format, "channels_last", only="keras3")


@dataclass(frozen=True)
class GaussianNoise(Layer):
    """Adds normal noise while training. Source: ``keras.layers.GaussianNoise``."""

    supports_masking: ClassVar[bool] = True

    stddev: float = setting(not_negative)
    seed: int | None = setting(optional(any_integer), None, only="keras3")

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return inputs with noise while training, else inputs."""
        x = inputs[0]
        if not run.training or self.stddev == 0:
            return x
        return ops.add(x, _entered(x, _normal(run, self.seed, x.shape) * self.stddev))


@dataclass(frozen=True)
class GaussianDropout(Layer):
    """Multiplies by normal noise of mean 1 and deviation ``sqrt(rate / (1 - rate))`` while training.

    Source: ``keras.layers.GaussianDropout``.
    """

    supports_masking: ClassVar[bool] = True

    rate: float = setting(fraction)
    seed: int | None = setting(optional(any_integer), None, only="keras3")

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return inputs times noise while training, else inputs."""
        x = inputs[0]
        if not run.training or not 0 < self.rate < 1:
            return x
        deviation = np.sqrt(self.rate / (1 - self.rate))
        return ops.multiply(x, _entered(x, 1 + _normal(run, self.seed, x.shape) * deviation))


@dataclass(frozen=True)
class AlphaDropout(Layer):
    """Dropout that keeps mean and deviation of selu's outputs (Klambauer 2017).

    Source: ``keras.layers.AlphaDropout``.
    """

    supports_masking: ClassVar[bool] = True

    rate: float = setting(fraction)
    noise_shape: None = setting(unsupported_unless(None), None)
    seed: int | None = setting(optional(any_integer), None)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return inputs with a share set to selu's limit while training, else inputs."""
        x = inputs[0]
        if not run.training or not 0 < self.rate < 1:
            return x
        kept = run.generator(self.seed).random(x.shape, dtype=np.float32) >= self.rate
        a = ((1 - self.rate) * (1 + self.rate * _ALPHA_PRIME**2)) ** -0.5
        b = -a * _ALPHA_PRIME * self.rate
        chosen = ops.where(kept, x, ops.constant(np.full(x.shape, _ALPHA_PRIME), x.dtype))
        return ops.add(ops.scale(chosen, a), ops.constant(b, x.dtype))


@dataclass(frozen=True)
class ActivityRegularization(Layer):
    """Adds a penalty on its inputs to the loss. Source: ``keras.layers.ActivityRegularization``."""

    supports_masking: ClassVar[bool] = True

    l1: float = setting(not_negative, 0.0)
    l2: float = setting(not_negative, 0.0)

    @property
    def activity_regularizer(self) -> Regularizer | None:
        """The penalty, if there is one."""
        return L1L2(self.l1, self.l2) if self.l1 or self.l2 else None

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the inputs."""
        return inputs[0]


def _normal(run: Run, seed: int | None, shape: tuple[int, ...]) -> Array:
    return run.generator(seed).standard_normal(shape, dtype=np.float32)


def _entered(x: Tensor, values: Array) -> Tensor:
    return ops.constant(values, x.dtype)
