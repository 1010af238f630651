"""Layers that change the shape: Flatten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine import ops
from engine.configured import refuse, setting
from engine.errors import Unsupported
from engine.layers.base import Layer, Shape
from engine.run import Run
from engine.tape import Tensor


def _data_format(key: str, value: Any) -> str:
    if value == "channels_first":
        raise Unsupported(f"`{key}` = 'channels_first' is not supported; use 'channels_last'.")
    if value not in {None, "channels_last"}:
        raise refuse(key, "'channels_last'", value)
    return "channels_last"


@dataclass(frozen=True)
class Flatten(Layer):
    """(batch, a, b, ...) -> (batch, a * b * ...). Source: ``keras.layers.Flatten``."""

    data_format: str = setting(_data_format, "channels_last")

    def output_shape(self, *shapes: Shape) -> Shape:
        """Batch axis and one other; unknown if any of the flattened axes is."""
        size: int | None = 1
        for length in shapes[0][1:]:
            size = None if size is None or length is None else size * length
        return (shapes[0][0], size)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the inputs as a matrix."""
        return ops.reshape(inputs[0], (inputs[0].shape[0], -1))
