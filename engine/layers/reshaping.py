"""Layers that change the shape or the place of values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from engine import ops
from engine.configured import any_integer, one_of, positive_integer, refuse, setting
from engine.dtypes import FLOAT32, DType
from engine.errors import ShapeMismatch
from engine.layers.base import Layer, Shape
from engine.layers.readers import data_format, sizes
from engine.run import Run
from engine.tape import Tensor

Sides = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Flatten(Layer):
    """(batch, a, b, ...) -> (batch, a * b * ...). Source: ``keras.layers.Flatten``."""

    data_format: str = setting(data_format, "channels_last")

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Batch axis and one other; unknown if any of the flattened axes is."""
        size: int | None = 1
        for length in shapes[0][1:]:
            size = None if size is None or length is None else size * length
        return (shapes[0][0], size)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the inputs as a matrix."""
        return ops.reshape(inputs[0], (inputs[0].shape[0], -1))


def _target(key: str, value: Any) -> tuple[int, ...]:
    items = list(value) if isinstance(value, list | tuple) else [value]
    found = tuple(any_integer(key, item) for item in items)
    if any(size < -1 or size == 0 for size in found) or found.count(-1) > 1:
        raise refuse(key, "positive integers, of which one may be -1", value)
    return found


@dataclass(frozen=True)
class Reshape(Layer):
    """Another shape of as many values; one -1 is worked out. Source: ``keras.layers.Reshape``."""

    target_shape: tuple[int, ...] = setting(_target)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The target behind the batch axis."""
        have = shapes[0][1:]
        known = math.prod(size for size in self.target_shape if size > 0)
        if None in have:
            return (shapes[0][0], *(None if size == -1 else size for size in self.target_shape))
        total = math.prod(size or 0 for size in have)
        if total % known or (-1 not in self.target_shape and total != known):
            message = f"Reshape {self.name!r} cannot make {list(self.target_shape)} of {list(have)} ({total} values)."
            raise ShapeMismatch(message, path=("target_shape",))
        return (shapes[0][0], *(total // known if size == -1 else size for size in self.target_shape))

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the inputs in the target shape."""
        return ops.reshape(inputs[0], (inputs[0].shape[0], *self.target_shape))


def _order(key: str, value: Any) -> tuple[int, ...]:
    items = tuple(value) if isinstance(value, list | tuple) else ()
    if not items or sorted(items) != list(range(1, len(items) + 1)):
        raise refuse(key, "the numbers from 1 to the number of axes behind the batch axis, in another order", value)
    return items


@dataclass(frozen=True)
class Permute(Layer):
    """The axes behind the batch axis in another order. Source: ``keras.layers.Permute``."""

    dims: tuple[int, ...] = setting(_order)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Sizes in the new order."""
        if len(shapes[0]) != len(self.dims) + 1:
            message = f"Permute {self.name!r} orders {len(self.dims)} axes, but the input is {list(shapes[0])}."
            raise ShapeMismatch(message, path=("dims",))
        return (shapes[0][0], *(shapes[0][index] for index in self.dims))

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the inputs with their axes in the new order."""
        return ops.transpose(inputs[0], (0, *self.dims))


@dataclass(frozen=True)
class RepeatVector(Layer):
    """(batch, features) -> (batch, n, features). Source: ``keras.layers.RepeatVector``."""

    n: int = setting(positive_integer)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """A steps axis in the middle."""
        if len(shapes[0]) != 2:
            raise ShapeMismatch(f"RepeatVector {self.name!r} takes (batch, features), got {list(shapes[0])}.")
        return (shapes[0][0], self.n, shapes[0][1])

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return the inputs n times."""
        x = inputs[0]
        return ops.repeat(ops.reshape(x, (x.shape[0], 1, x.shape[1])), self.n, axis=1)


def _sides(rank: int) -> Any:
    """Return a reader of margins: one number for all sides, one an axis, or (before, after) for each axis."""

    def read(key: str, value: Any) -> Sides:
        items = list(value) if isinstance(value, list | tuple) else [value] * rank
        if rank == 1 and len(items) == 2:
            items = [items]
        if len(items) != rank:
            raise refuse(key, f"a number, {rank} numbers, or {rank} pairs", value)
        pairs = [tuple(item) if isinstance(item, list | tuple) else (item, item) for item in items]
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for pair in pairs for n in pair)
        if not whole or any(len(pair) != 2 for pair in pairs):
            raise refuse(key, "integers not below 0", value)
        return tuple((pair[0], pair[1]) for pair in pairs)

    return read


def _write_sides(value: Sides, conventions: Any) -> Any:
    pairs = [list(pair) for pair in value]
    return pairs[0] if len(pairs) == 1 else pairs


@dataclass(frozen=True, kw_only=True)
class Margins(Layer):
    """Base of layers that add or take off margins of the axes between batch and channels."""

    rank: ClassVar[int] = 2
    sign: ClassVar[int] = 1

    data_format: str = setting(data_format, "channels_last")

    def sides(self) -> Sides:
        """Return (before, after) for each axis."""
        raise AssertionError(f"{self.class_name} does not say its margins")

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Lengths with the margins added or taken off."""
        shape = shapes[0]
        if len(shape) != self.rank + 2:
            message = f"{self.class_name} {self.name!r} needs an input of {self.rank + 2} axes, got {list(shape)}."
            raise ShapeMismatch(message)
        lengths = [
            None if length is None else length + self.sign * sum(pair)
            for length, pair in zip(shape[1:-1], self.sides(), strict=True)
        ]
        if any(length is not None and length < 1 for length in lengths):
            raise ShapeMismatch(f"{self.class_name} {self.name!r} leaves nothing of an input of {list(shape)}.")
        return (shape[0], *lengths, shape[-1])


@dataclass(frozen=True, kw_only=True)
class ZeroPadding2D(Margins):
    """Zeros around images. Source: ``keras.layers.ZeroPadding2D``."""

    padding: Sides = setting(_sides(2), 1, write=_write_sides)

    def sides(self) -> Sides:
        """The padding."""
        return self.padding

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Pad."""
        return ops.pad(inputs[0], ((0, 0), *self.padding, (0, 0)))


@dataclass(frozen=True, kw_only=True)
class ZeroPadding1D(ZeroPadding2D):
    """Zeros before and after sequences. Source: ``keras.layers.ZeroPadding1D``."""

    rank: ClassVar[int] = 1

    data_format: str = setting(data_format, "channels_last", only="keras3")
    padding: Sides = setting(_sides(1), 1, write=_write_sides)


@dataclass(frozen=True, kw_only=True)
class Cropping2D(Margins):
    """Images without their margins. Source: ``keras.layers.Cropping2D``."""

    sign: ClassVar[int] = -1

    cropping: Sides = setting(_sides(2), 0, write=_write_sides)

    def sides(self) -> Sides:
        """The cropping."""
        return self.cropping

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Crop."""
        lengths = inputs[0].shape[1:-1]
        inner = [slice(a, length - b) for (a, b), length in zip(self.cropping, lengths, strict=True)]
        return ops.take(inputs[0], (slice(None), *inner))


@dataclass(frozen=True, kw_only=True)
class Cropping1D(Cropping2D):
    """Sequences without their ends. Source: ``keras.layers.Cropping1D``."""

    rank: ClassVar[int] = 1

    data_format: str = setting(data_format, "channels_last", only="set")
    cropping: Sides = setting(_sides(1), 1, write=_write_sides)


@dataclass(frozen=True, kw_only=True)
class UpSampling1D(Layer):
    """Every step so many times. Source: ``keras.layers.UpSampling1D``."""

    size: int = setting(positive_integer, 2)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The steps multiplied."""
        if len(shapes[0]) != 3:
            raise ShapeMismatch(f"UpSampling1D {self.name!r} takes (batch, steps, features), got {list(shapes[0])}.")
        batch, steps, features = shapes[0]
        return (batch, None if steps is None else steps * self.size, features)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Repeat."""
        return ops.repeat(inputs[0], self.size, axis=1)


@dataclass(frozen=True, kw_only=True)
class UpSampling2D(Layer):
    """Larger images, by repeating or by mixing neighbours. Source: ``keras.layers.UpSampling2D``."""

    size: tuple[int, ...] = setting(sizes(2), 2)
    data_format: str = setting(data_format, "channels_last")
    interpolation: str = setting(one_of("nearest", "bilinear"), "nearest")

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Height and width multiplied."""
        if len(shapes[0]) != 4:
            message = f"UpSampling2D {self.name!r} takes (batch, height, width, channels), got {list(shapes[0])}."
            raise ShapeMismatch(message)
        lengths = zip(shapes[0][1:3], self.size, strict=True)
        return (shapes[0][0], *(None if n is None else n * times for n, times in lengths), shapes[0][3])

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Enlarge."""
        x = inputs[0]
        if self.interpolation == "nearest":
            return ops.repeat(ops.repeat(x, self.size[0], axis=1), self.size[1], axis=2)
        mixed = ops.resize_bilinear(x, self.size)
        return mixed if self._stays_float32 else ops.cast_image(mixed, x.dtype)

    @property
    def _stays_float32(self) -> bool:
        """Whether the image is float32 then: ``tf.image.resize`` makes it so, and Keras 3 alone casts it back."""
        return self.interpolation == "bilinear" and not self.conventions.keras3 and self.size != (1, 1)

    def output_dtype(self, *entered: DType) -> DType:
        """Float32 of a bilinear image in Keras 2, else that of the input."""
        return FLOAT32 if self._stays_float32 else super().output_dtype(*entered)
