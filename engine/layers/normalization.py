"""BatchNormalization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine import constraints, initializers, ops, regularizers
from engine.configured import any_number, boolean, not_negative, setting, unsupported_unless
from engine.constraints import Constraint
from engine.dtypes import FLOAT32, FLOAT64, DType
from engine.errors import ShapeMismatch
from engine.initializers import Initializer, Ones, Zeros
from engine.layers.base import Layer, Shape
from engine.layers.entering import Integers
from engine.layers.operands import NUMBERS, check_match, check_taken
from engine.layers.readers import axis
from engine.ops.normalization import Features
from engine.ops.powers import reciprocal_root
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Array, Tensor, constant, rounded
from engine.weights import WeightSpec

_FUZZ = 1e-7
"""Keras's ``backend.epsilon()``, added to the number of what is not masked out."""


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` along one axis (Ioffe 2015).

    Statistics of the batch while training (moving averages follow), moving averages else, and always when frozen.
    Arithmetic is float32 under every 16-bit policy, and in Keras 2 so are the parameters.

    What a mask leaves out does not count in the statistics of a batch, but in TF 2.4 and in Keras 2's fused kernel.

    Source: ``keras.layers.BatchNormalization``.
    """

    integers: ClassVar[Integers] = "cast"

    supports_masking: ClassVar[bool] = True

    axis: int = setting(axis, -1)
    momentum: float = setting(any_number, 0.99)
    epsilon: float = setting(not_negative, 0.001)
    center: bool = setting(boolean, True)
    scale: bool = setting(boolean, True)
    beta_initializer: Initializer = setting(initializers.read, Zeros(), write=initializers.write)
    gamma_initializer: Initializer = setting(initializers.read, Ones(), write=initializers.write)
    moving_mean_initializer: Initializer = setting(initializers.read, Zeros(), write=initializers.write)
    moving_variance_initializer: Initializer = setting(initializers.read, Ones(), write=initializers.write)
    beta_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    gamma_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    beta_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    gamma_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    synchronized: bool = setting(unsupported_unless(False), False, only="keras3")
    renorm: bool = setting(unsupported_unless(False), False, only="keras3")
    renorm_clipping: None = setting(unsupported_unless(None), None, only="keras3")
    renorm_momentum: float = setting(any_number, 0.99, only="keras3")

    def _position(self, ndim: int) -> int:
        position = self.axis + ndim if self.axis < 0 else self.axis
        if not 0 < position < ndim:
            raise ShapeMismatch(
                f"BatchNormalization {self.name!r} has axis {self.axis}, which an input of {ndim} axes "
                f"(batch axis first) does not offer.",
                path=("axis",),
            )
        return position

    def _parameter_dtype(self) -> DType:
        narrow = self.policy.variable.low_precision and not self.conventions.keras3
        return FLOAT32 if narrow else self.policy.variable

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Gamma, beta, moving mean, moving variance."""
        size = shapes[0][self._position(len(shapes[0]))]
        if size is None:
            message = f"BatchNormalization {self.name!r} needs a known size along axis {self.axis}."
            raise ShapeMismatch(f"{message} Got shape {list(shapes[0])}.")
        dtype = self._parameter_dtype()
        gamma = self.spec("gamma", (size,), self.gamma_initializer, self.gamma_regularizer, dtype=dtype)
        beta = self.spec("beta", (size,), self.beta_initializer, self.beta_regularizer, dtype=dtype)
        mean = self.spec("moving_mean", (size,), self.moving_mean_initializer, trainable=False, dtype=dtype)
        variance = self.spec("moving_variance", (size,), self.moving_variance_initializer, trainable=False, dtype=dtype)
        learnt = (*((gamma,) if self.scale else ()), *((beta,) if self.center else ()))
        return (*learnt, mean, variance)

    def read_dtype(self, spec: WeightSpec) -> DType:
        """That of the variable, float32 at least."""
        return spec.dtype

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Normalize, and move the averages while training."""
        x = inputs[0]
        self._check_dtype(x.dtype)
        axis = self._position(x.ndim)
        mean, variance = self.variable(run, "moving_mean"), self.variable(run, "moving_variance")
        gamma = self.variable(run, "gamma") if self.scale else Tensor(np.ones_like(mean.data), mean.dtype)
        beta = self.variable(run, "beta") if self.center else Tensor(np.zeros_like(mean.data), mean.dtype)
        at = Features(axis, self.conventions.sum_lanes)
        if not (run.training and self.trainable):
            return ops.normalize_with(x, gamma, beta, mean, variance, at, self.epsilon)
        if x.mask is not None and self.conventions.masked_layers and not self._corrects(x):
            return self._masked_batch(run, x, gamma, beta, axis)
        y, batch_mean, batch_variance = ops.batch_normalization(x, gamma, beta, at, self.epsilon)
        count = x.data.size // mean.data.size
        bessel = count / (count - 1) if self._corrects(x) and count > 1 else 1.0
        self._move(run, "moving_mean", batch_mean.data, 1.0)
        self._move(run, "moving_variance", batch_variance.data, bessel)
        return y

    def _masked_batch(self, run: Run, x: Tensor, gamma: Tensor, beta: Tensor, axis: int) -> Tensor:
        """Normalize by what the mask leaves, and move the averages.

        Raises:
            ShapeMismatch: the mask has not one axis less than the input.
        """
        if x.mask is None or x.mask.ndim != x.ndim - 1:
            message = f"BatchNormalization {self.name!r} takes a mask of one axis less than its input {list(x.shape)}."
            raise ShapeMismatch(message)
        wide = ops.cast(x, FLOAT64 if x.dtype is FLOAT64 else FLOAT32)
        counts = np.broadcast_to(x.mask[..., np.newaxis], x.shape).astype(wide.data.dtype)
        kept, others = Tensor(counts, wide.dtype), tuple(place for place in range(x.ndim) if place != axis)
        fuzz = wide.data.dtype.type(_FUZZ if self.conventions.keras3 else 0)
        number = Tensor(counts.sum(axis=others, keepdims=True) + fuzz, wide.dtype)
        shape = [x.shape[axis] if place == axis else 1 for place in range(x.ndim)]
        mean = ops.divide(ops.reduce_sum(ops.multiply(wide, kept), axis=others, keepdims=True), number)
        apart = ops.multiply(ops.subtract(wide, mean), kept)
        variance = ops.divide(ops.reduce_sum(ops.square(apart), axis=others, keepdims=True), number)
        root = reciprocal_root(ops.add(variance, constant(self.epsilon, wide.dtype)))
        factor = ops.multiply(root, ops.reshape(ops.cast(gamma, wide.dtype), tuple(shape)))
        offset = ops.subtract(ops.reshape(ops.cast(beta, wide.dtype), tuple(shape)), ops.multiply(mean, factor))
        self._move(run, "moving_mean", mean.data.reshape(-1), 1.0)
        self._move(run, "moving_variance", variance.data.reshape(-1), 1.0)
        return ops.cast(ops.add(ops.multiply(wide, factor), offset), x.dtype)

    def _check_dtype(self, dtype: DType) -> None:
        if self.conventions.keras3:
            return
        check_taken("x", dtype, NUMBERS)
        if dtype.kind in ("int", "uint"):
            check_match("AddV2", "y", FLOAT32, "x", dtype)  # epsilon is added to a variance that was cast to integers

    def _corrects(self, x: Tensor) -> bool:
        """Whether Keras 2's fused kernel runs, which TensorFlow lacks for float64 and for other axes."""
        fused = x.ndim == 4 and self.axis in (-3, -1, 1, 3) and self.policy.compute is not FLOAT64
        return fused and self.conventions.bessel_batch_variance

    def _move(self, run: Run, name: str, batch: Array, factor: float) -> None:
        """Move an average; the second call of a shared layer goes on from what the first one made of it."""
        variable, path = self.variable(run, name), self.path(name)
        kind = variable.data.dtype.type
        moved: Array = run.updates.get(path, variable.data) * kind(self.momentum)
        moved = moved + batch * kind(factor) * kind(1 - self.momentum)
        run.updates[path] = rounded(moved, variable.dtype)
