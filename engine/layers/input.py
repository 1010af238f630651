"""InputLayer: the shape and dtype of what a model is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine import configured, ops
from engine.configured import dimensions, setting, unsupported_unless
from engine.conventions import TF24, Conventions
from engine.dtypes import DType, as_dtype
from engine.errors import InvalidValue
from engine.layers.base import Layer, Shape
from engine.layers.dtype_argument import read_dtype
from engine.policy import Policy
from engine.run import Run
from engine.tape import Array, Tensor


def _dtype_name(policy: Policy | None, conventions: Conventions) -> str | None:
    return None if policy is None else policy.compute_dtype


@dataclass(frozen=True)
class InputLayer(Layer):
    """The place where data enters, in ``floatx`` unless it says otherwise. Source: ``keras.layers.InputLayer``.

    ``batch_input_shape`` (Keras 2) and ``batch_shape`` (Keras 3) are the same thing, batch axis included.
    """

    dtype: Policy | None = setting(read_dtype, None, write=_dtype_name)
    batch_shape: Shape | None = setting(configured.optional(dimensions), None, only="keras3")
    autocast: bool = field(default=False, repr=False)  # no setting here: the call casts, which may lose the mask
    sparse: bool = setting(unsupported_unless(False, None), False)
    ragged: bool = setting(unsupported_unless(False, None), False)
    optional: bool = setting(unsupported_unless(False), False, only="keras3")
    input_tensor: None = setting(unsupported_unless(None), None, only="set")

    @property
    def shape(self) -> Shape:
        """Shape of the data, batch axis first.

        Raises:
            InvalidValue: the config gives none.
        """
        found = self.batch_shape or self.batch_input_shape
        if found is None:
            message = f"InputLayer {self.name!r} has no shape; give `batch_input_shape` (or Keras 3's `batch_shape`)."
            raise InvalidValue(message, code="missing_shape", path=("batch_input_shape",))
        return found

    @property
    def input_dtype(self) -> DType:
        """Dtype in which data enters the model."""
        return self.conventions.floatx if self.dtype is None else as_dtype(self.dtype.compute_dtype or "float32")

    def get_config(self, conventions: Conventions = TF24) -> dict[str, Any]:
        """Return what the line of Keras writes: the shape under its own key, the dtype by name, no ``trainable``."""
        config = super().get_config(conventions)
        for key in ("trainable", "batch_shape", "batch_input_shape"):
            config.pop(key, None)
        shape = self.batch_shape or self.batch_input_shape
        key = "batch_shape" if conventions.keras3 else "batch_input_shape"
        return {key: None if shape is None else list(shape), **config, "dtype": self.input_dtype.name}

    def output_dtype(self, *entered: DType) -> DType:
        """The dtype in which data enters the model."""
        return self.input_dtype

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the data; what enters a nested model is cast to the dtype of its input, as Keras does."""
        x = inputs[0]
        return x if x.dtype is self.input_dtype else ops.cast(x, self.input_dtype)

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """The mask of what enters a nested model; Keras 2 loses it where that is cast. Source: observed."""
        kept = inputs and (self.conventions.keras3 or inputs[0].dtype is self.input_dtype)
        return inputs[0].mask if kept else None
