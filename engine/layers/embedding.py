"""Embedding and Masking: where sequences of numbers begin, and which of their steps count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine import constraints, initializers, ops, regularizers
from engine.configured import any_number, boolean, optional, positive_integer, setting, unsupported_unless
from engine.constraints import Constraint
from engine.dtypes import DType
from engine.initializers import Initializer, RandomUniform
from engine.layers.base import Layer, Shape
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Array, Tensor
from engine.weights import WeightSpec


@dataclass(frozen=True)
class Embedding(Layer):
    """Rows of a table by number. Source: ``keras.layers.Embedding``.

    Input integers of any shape, output (..., output_dim); the rows are cast to the compute dtype after look-up.
    With ``mask_zero``, number 0 means "no step here".
    """

    input_dim: int = setting(positive_integer)
    output_dim: int = setting(positive_integer)
    embeddings_initializer: Initializer = setting(initializers.read, RandomUniform(), write=initializers.write)
    embeddings_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    activity_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    embeddings_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    mask_zero: bool = setting(boolean, False)
    input_length: int | None = setting(optional(positive_integer), None, only="keras2")
    quantization_config: None = setting(unsupported_unless(None), None, only="keras3")
    lora_rank: None = setting(unsupported_unless(None), None, only="set")

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """The table."""
        size = (self.input_dim, self.output_dim)
        return (self.spec("embeddings", size, self.embeddings_initializer, self.embeddings_regularizer),)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """One row a number."""
        return (*shapes[0], self.output_dim)

    def entering_dtype(self, dtype: DType) -> DType:
        """As it is: row numbers are no quantities, float16 could not even hold those above 2048."""
        return dtype

    def output_dtype(self, *entered: DType) -> DType:
        """The compute dtype."""
        return self.policy.compute

    def read_dtype(self, spec: WeightSpec) -> DType:
        """That of the variable: rows are cast after the look-up, the table is not."""
        return spec.dtype

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Look up, then cast."""
        numbers = np.real(inputs[0].data).astype(np.int64)
        rows = ops.gather(self.variable(run, "embeddings"), numbers, apart=self.conventions.row_gradients)
        return ops.cast(rows, self.policy.compute)

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """Where the number is not 0, with ``mask_zero``."""
        return inputs[0].data != 0 if self.mask_zero else None


@dataclass(frozen=True)
class Masking(Layer):
    """Masks out steps all of whose features equal a value. Source: ``keras.layers.Masking``."""

    supports_masking: ClassVar[bool] = True

    mask_value: float = setting(any_number, 0.0)

    def _counts(self, x: Tensor) -> Array:
        return np.asarray((x.data != x.data.dtype.type(self.mask_value)).any(axis=-1))

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the inputs with zeros at masked steps."""
        x = inputs[0]
        counts = self._counts(x)[..., np.newaxis]
        if self.conventions.keras3:
            return ops.where(counts, x, ops.constant(0, x.dtype))
        return ops.multiply(x, Tensor(counts.astype(x.data.dtype), x.dtype))

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """The steps with any other value."""
        return self._counts(inputs[0])
