"""Layers that make one tensor of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from engine import ops
from engine.configured import any_integer, boolean, refuse, setting
from engine.dtypes import DType
from engine.errors import ShapeMismatch
from engine.layers.base import MANY, Layer, Shape
from engine.layers.entering import Integers
from engine.layers.operands import NUMBERS, check_attribute, check_listed, check_match
from engine.run import Run
from engine.tape import Array, Tensor


@dataclass(frozen=True, kw_only=True)
class Merge(Layer):
    """Base: element-wise, with broadcasting; of lower rank inputs the batch axis stays first."""

    merges: ClassVar[bool] = True
    arity: ClassVar[tuple[int, int]] = (1, MANY)
    pairwise: ClassVar[Callable[[Tensor, Tensor], Tensor]] = staticmethod(ops.add)
    kernel_name: ClassVar[str] = "AddV2"
    """TF's name of the op."""
    least: ClassVar[int] = 2

    def _check_count(self, shapes: Sequence[Any]) -> None:
        if len(shapes) < self.least:
            message = f"{self.class_name} {self.name!r} merges at least {self.least} inputs, got {len(shapes)}."
            raise ShapeMismatch(message)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The broadcast shape."""
        self._check_count(shapes)
        rank = max(len(shape) for shape in shapes)
        spread = [(shape[0], *(1,) * (rank - len(shape)), *shape[1:]) for shape in shapes]
        by_axis = list(zip(*spread, strict=True))[1:]
        return (shapes[0][0], *(self._fitting(sizes, shapes) for sizes in by_axis))

    def _fitting(self, sizes: Sequence[int | None], shapes: Sequence[Shape]) -> int | None:
        known = {size for size in sizes if size not in {None, 1}}
        if len(known) > 1:
            shown = " and ".join(str(list(shape)) for shape in shapes)
            raise ShapeMismatch(f"{self.class_name} {self.name!r} cannot merge inputs of shapes {shown}.")
        if known:
            return known.pop()
        return None if None in sizes else 1

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Merge from the first to the last."""
        self._check_dtypes([x.dtype for x in inputs])
        rank = max(x.ndim for x in inputs)
        spread = [ops.reshape(x, (x.shape[0], *(1,) * (rank - x.ndim), *x.shape[1:])) for x in inputs]
        masks = [x.mask[..., np.newaxis] if x.mask is not None and x.ndim == rank else None for x in inputs]
        if self.conventions.keras3 and any(mask is not None for mask in masks):
            return self._merged_under(masks, spread)
        return self._merged(spread)

    def _check_dtypes(self, dtypes: list[DType]) -> None:
        if not self.conventions.keras3:
            check_attribute(dtypes[0], NUMBERS)
            for dtype in dtypes[1:]:
                check_match(self.kernel_name, "y", dtype, "x", dtypes[0])

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        return reduce(type(self).pairwise, inputs)

    def _merged_under(self, masks: Sequence[Array | None], inputs: list[Tensor]) -> Tensor:
        """Merge what masks leave, for layers that look at them in Keras 3."""
        return self._merged(inputs)

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """The steps that count in any input, where all carry a mask (Keras 3); in every one that does (Keras 2)."""
        masks = [x.mask for x in inputs if x.mask is not None]
        if self.conventions.keras3:
            return np.logical_or.reduce(masks) if len(masks) == len(inputs) else None
        return np.logical_and.reduce(masks) if masks else None


@dataclass(frozen=True, kw_only=True)
class Add(Merge):
    """The sum. Source: ``keras.layers.Add``."""


@dataclass(frozen=True, kw_only=True)
class Subtract(Merge):
    """The first minus the second. Source: ``keras.layers.Subtract``."""

    kernel_name: ClassVar[str] = "Sub"
    pairwise: ClassVar[Callable[[Tensor, Tensor], Tensor]] = staticmethod(ops.subtract)

    def _check_count(self, shapes: Sequence[Any]) -> None:
        if len(shapes) != 2:
            raise ShapeMismatch(f"Subtract {self.name!r} takes exactly 2 inputs, got {len(shapes)}.")


@dataclass(frozen=True, kw_only=True)
class Multiply(Merge):
    """The product. Source: ``keras.layers.Multiply``."""

    kernel_name: ClassVar[str] = "Mul"
    pairwise: ClassVar[Callable[[Tensor, Tensor], Tensor]] = staticmethod(ops.multiply)

    def _merged_under(self, masks: Sequence[Array | None], inputs: list[Tensor]) -> Tensor:
        """A step that is masked out multiplies by 1; one that all inputs mask out is 0."""
        dtype = inputs[0].dtype
        pairs = zip(inputs, masks, strict=True)
        output = self._merged([x if m is None else ops.where(m, x, ops.constant(1, dtype)) for x, m in pairs])
        given = [mask for mask in masks if mask is not None]
        whole = len(given) == len(masks)
        return ops.where(np.logical_or.reduce(given), output, ops.constant(0, dtype)) if whole else output


@dataclass(frozen=True, kw_only=True)
class _Choice(Merge):
    """Base of the layers that choose one of their inputs: in Keras 3, of those that are not masked out."""

    def _merged_under(self, masks: Sequence[Array | None], inputs: list[Tensor]) -> Tensor:
        """A step that is masked out in one input is taken from the other; where both are, from the first."""
        output, counts = inputs[0], masks[0]
        for x, mask in zip(inputs[1:], masks[1:], strict=True):
            other = x if mask is None else ops.where(mask, x, output)
            output = output if counts is None else ops.where(counts, output, other)
            counts = None if mask is None or counts is None else mask | counts
            output = type(self).pairwise(output, other)
        return output


@dataclass(frozen=True, kw_only=True)
class Maximum(_Choice):
    """The larger; ties belong to the first. Source: ``keras.layers.Maximum``."""

    kernel_name: ClassVar[str] = "Maximum"
    pairwise: ClassVar[Callable[[Tensor, Tensor], Tensor]] = staticmethod(ops.maximum)


@dataclass(frozen=True, kw_only=True)
class Minimum(_Choice):
    """The smaller; ties belong to the first. Source: ``keras.layers.Minimum``."""

    kernel_name: ClassVar[str] = "Minimum"
    pairwise: ClassVar[Callable[[Tensor, Tensor], Tensor]] = staticmethod(ops.minimum)


@dataclass(frozen=True, kw_only=True)
class Average(Merge):
    """The mean. Source: ``keras.layers.Average``."""

    integers: ClassVar[Integers] = "cast"

    def _merged(self, inputs: list[Tensor]) -> Tensor:
        total = super()._merged(inputs)
        return ops.divide(total, ops.constant(len(inputs), total.dtype))


@dataclass(frozen=True, kw_only=True)
class Concatenate(Merge):
    """Inputs joined along an axis. Source: ``keras.layers.Concatenate``."""

    least: ClassVar[int] = 1

    axis: int = setting(any_integer, -1)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The sizes along the axis add up; all others are equal."""
        self._check_count(shapes)
        rank = len(shapes[0])
        axis = self.axis % rank if -rank <= self.axis < rank else None
        others = [tuple(size for index, size in enumerate(shape) if index not in {0, axis}) for shape in shapes]
        if axis in {None, 0} or any(len(shape) != rank for shape in shapes) or len(set(others)) > 1:
            shown = " and ".join(str(list(shape)) for shape in shapes)
            message = f"Concatenate {self.name!r} cannot join inputs of shapes {shown} along axis {self.axis}."
            raise ShapeMismatch(message, path=("axis",))
        assert axis is not None, "checked above"
        sizes = [shape[axis] for shape in shapes]
        total = None if None in sizes else sum(size for size in sizes if size is not None)
        return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Join."""
        if not self.conventions.keras3:
            check_listed("ConcatV2", "values", [x.dtype for x in inputs])
        return ops.concatenate(inputs, axis=self.axis % inputs[0].ndim)

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """The masks joined as the inputs are, then any along the last axis (Keras 3), or all (Keras 2)."""
        if all(x.mask is None for x in inputs):
            return None
        whole = [
            True if x.mask is None else x.mask.reshape(*x.mask.shape, *[1] * (x.ndim - x.mask.ndim)) for x in inputs
        ]
        spread = [np.broadcast_to(mask, x.shape) for mask, x in zip(whole, inputs, strict=True)]
        joined = np.concatenate(spread, axis=self.axis)
        return (
            np.logical_or.reduce(joined, axis=-1) if self.conventions.keras3 else np.logical_and.reduce(joined, axis=-1)
        )


def _dot_axes(key: str, value: Any) -> int | tuple[int, int]:
    """Read one axis, which is meant for both inputs, or two; configs show which it was."""
    if not isinstance(value, list | tuple):
        return any_integer(key, value)
    items = list(value)
    if len(items) != 2:
        raise refuse(key, "an axis or a list of two", value)
    return any_integer(key, items[0]), any_integer(key, items[1])


@dataclass(frozen=True, kw_only=True)
class Dot(Merge):
    """The sum of products along one axis of each of two inputs. Source: ``keras.layers.Dot``."""

    integers: ClassVar[Integers] = "refused"

    axes: int | tuple[int, int] = setting(_dot_axes)
    normalize: bool = setting(boolean, False)

    def _axes_of(self, shapes: Sequence[Sequence[int | None]]) -> tuple[int, int]:
        if len(shapes) != 2:
            raise ShapeMismatch(f"Dot {self.name!r} takes exactly 2 inputs, got {len(shapes)}.")
        ranks = [len(shape) for shape in shapes]
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        left, right = (axis % rank for axis, rank in zip(axes, ranks, strict=True))
        if shapes[0][left] != shapes[1][right]:
            message = f"Dot {self.name!r} cannot sum axes of sizes {shapes[0][left]} and {shapes[1][right]}."
            raise ShapeMismatch(message, path=("axes",))
        return left, right

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The other axes of the first, then those of the second; at least (batch, 1)."""
        left, right = self._axes_of(shapes)
        first = tuple(size for index, size in enumerate(shapes[0]) if index != left)
        second = tuple(size for index, size in enumerate(shapes[1]) if index not in {0, right})
        return (*first, *second) if len(first) + len(second) > 1 else (first[0], 1)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Multiply and sum."""
        left, right = self._axes_of([x.shape for x in inputs])
        a, b = inputs
        if self.normalize:
            largest, lanes = 1e7 if self.conventions.keras3 else None, self.conventions.sum_lanes
            a = ops.unit_normalization(a, (left,), largest_inverse=largest, lanes=lanes)
            b = ops.unit_normalization(b, (right,), largest_inverse=largest, lanes=lanes)
        letters = "abcdefghijklm"
        first = "".join("z" if index == left else letters[index] for index in range(a.ndim))
        second = "".join(
            "a" if index == 0 else "z" if index == right else letters[a.ndim + index] for index in range(b.ndim)
        )
        out = (first + second[1:]).replace("z", "")
        line = self.conventions
        y = ops.einsum(f"{first},{second}->{out}", a, b, narrow=line.narrow_matmul, fused=line.fused_terms)
        return y if y.ndim > 1 else ops.reshape(y, (y.shape[0], 1))

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """None: no axis of steps is left."""
        return None
