"""Layers that bring data to a scale, with numbers that training does not change; and the one that does nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from engine import ops
from engine.configured import any_number, boolean, optional, setting
from engine.conventions import Conventions
from engine.dtypes import INT64, DType
from engine.errors import InvalidValue, ShapeMismatch
from engine.initializers import Ones, Zeros
from engine.layers.base import Layer, Shape
from engine.layers.entering import Integers
from engine.layers.readers import axes
from engine.run import Run
from engine.tape import Array, Tensor, constant, rounded
from engine.weights import WeightSpec

_EPSILON = 1e-7


class Nested(tuple[Any, ...]):
    """Numbers nested as an array is, that were read: reading them again takes them as they are."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array: all items have the shape of the first one."""
        return (len(self), *_shape(self[0]))


Numbers = float | Nested


def nested_numbers(key: str, value: Any) -> Numbers:
    """Read a number, or lists of numbers nested as an array is."""
    if isinstance(value, Nested):
        return value
    if not isinstance(value, list | tuple):
        return float(any_number(key, value))
    if set(map(type, value)) <= {int, float}:
        read = Nested(_floats(key, value))
    else:
        read = Nested(nested_numbers(key, item) for item in value)
    if not read or len(set(map(_shape, read))) > 1:
        raise InvalidValue(f"`{key}` must be a number, or lists of numbers of one length.")
    return read


def _floats(key: str, value: Sequence[float]) -> Iterable[float]:
    """Return finite numbers as floats; there may be many, and most lists have nothing to find fault with."""
    try:
        if all(map(math.isfinite, value)):
            return map(float, value)
    except OverflowError:  # an integer that no float holds
        pass
    return [float(any_number(key, item)) for item in value]


def _shape(numbers: Numbers) -> tuple[int, ...]:
    return numbers.shape if isinstance(numbers, Nested) else ()


def write_numbers(value: Any, conventions: Conventions) -> Any:
    """Return them as JSON has them."""
    return [write_numbers(item, conventions) for item in value] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Identity(Layer):
    """Gives what it takes. Source: ``keras.layers.Identity``."""

    supports_masking: ClassVar[bool | Literal["keras3"]] = "keras3"

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the input."""
        return inputs[0]


@dataclass(frozen=True)
class Rescaling(Layer):
    """``x * scale + offset``. Source: ``keras.layers.Rescaling``."""

    supports_masking: ClassVar[bool | Literal["keras3"]] = "keras3"

    scale: Numbers = setting(nested_numbers, write=write_numbers)
    offset: Numbers = setting(nested_numbers, 0.0, write=write_numbers)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the input, over which lists are spread.

        Raises:
            ShapeMismatch: a list does not fit the last axes.
        """
        for key in ("scale", "offset"):
            own = _shape(getattr(self, key))
            last = shapes[0][len(shapes[0]) - len(own) :]
            if len(own) >= len(shapes[0]) or any(size not in {1, have} for size, have in zip(own, last, strict=True)):
                message = f"`{key}` of shape {list(own)} does not fit inputs of shape {list(shapes[0])}."
                raise ShapeMismatch(message, path=(key,))
        return shapes[0]

    def entering_dtype(self, dtype: DType) -> DType:
        """The compute dtype, for integers too: this layer converts in every line of Keras."""
        return super().entering_dtype(dtype) if dtype.is_floating else self.converted(dtype)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Scale and shift."""
        x = inputs[0]
        scaled = ops.multiply(x, constant(np.array(self.scale), x.dtype))
        return ops.add(scaled, constant(np.array(self.offset), x.dtype))


def _axes(key: str, value: Any) -> tuple[int, ...]:
    """Read one axis, a list of them, or None for none."""
    nothing = value is None or (isinstance(value, list | tuple) and not value)
    return () if nothing else axes(key, value)


@dataclass(frozen=True)
class Normalization(Layer):
    """``(x - mean) / sqrt(variance)``, with numbers that are given or that ``adapt`` found and the weights hold.

    Source: ``keras.layers.Normalization``.
    """

    integers: ClassVar[Integers] = "cast"

    supports_masking: ClassVar[bool | Literal["keras3"]] = "keras3"

    axis: tuple[int, ...] = setting(_axes, (-1,))
    invert: bool = setting(boolean, False, only="newer")
    mean: Numbers | None = setting(optional(nested_numbers), None, write=write_numbers)
    variance: Numbers | None = setting(optional(nested_numbers), None, write=write_numbers)

    def __post_init__(self) -> None:
        super().__post_init__()
        shapes = [None if given is None else _shape(given) for given in (self.mean, self.variance)]
        if shapes[0] != shapes[1]:
            raise InvalidValue(
                "`mean` and `variance` must be given both or neither, and have one shape, got "
                f"{self.mean!r} and {self.variance!r}.",
                path=("variance",),
            )

    def _kept(self, rank: int) -> tuple[int, ...]:
        found = sorted({axis % rank for axis in self.axis})
        if any(not -rank <= axis < rank for axis in self.axis):
            message = f"Normalization {self.name!r} has axes {self.axis}, its input {rank} (batch axis first)."
            raise ShapeMismatch(message, path=("axis",))
        return tuple(found)

    def _parameter_shape(self, shape: Shape) -> tuple[int, ...]:
        sizes = [shape[axis] for axis in self._kept(len(shape))]
        if None in sizes:
            message = f"Normalization {self.name!r} needs known sizes along {self.axis}, got shape {list(shape)}."
            raise ShapeMismatch(message, path=("axis",))
        return tuple(size for size in sizes if size is not None)

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Mean, variance and count, unless they are given."""
        size = self._parameter_shape(shapes[0])
        if self.mean is not None:
            return ()
        return (
            self.spec("mean", size, Zeros(), trainable=False),
            self.spec("variance", size, Ones(), trainable=False),
            self.spec("count", (), Zeros(), trainable=False, dtype=INT64),
        )

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Normalize, or the inverse."""
        x = inputs[0]
        mean, variance = self._spread(run, x, "mean"), self._spread(run, x, "variance")
        root = rounded(np.sqrt(variance.data), x.dtype)
        deviation = Tensor(np.maximum(root, constant(_EPSILON, x.dtype).data), x.dtype)
        if self.invert:
            return ops.add(mean, ops.multiply(x, deviation))
        return ops.divide(ops.subtract(x, mean), deviation)

    def _spread(self, run: Run, x: Tensor, name: str) -> Tensor:
        """Return a parameter with the axes of x, in its dtype; fewer axes than are kept are the last of them."""
        given = getattr(self, name)
        values: Array = self.variable(run, name).data if given is None else np.array(given)
        kept = self._kept(x.ndim)
        sizes = dict(zip(kept[len(kept) - values.ndim :], values.shape, strict=True))
        return constant(values.reshape([sizes.get(axis, 1) for axis in range(x.ndim)]), x.dtype)
