"""Changes of shape and place: no arithmetic but sums of gradients, so results stay on their grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.gradients import RowGradient
from engine.tape import Array, Op, Tensor, apply, apply_parts

Widths = tuple[tuple[int, int], ...]

RESHAPE = Op(
    "reshape",
    lambda dtype, x, shape: (x.reshape(shape), x.shape),
    lambda dtype, gradient, shape, needed: (gradient.reshape(shape),),
    on_grid=True,
    gradient_on_grid=True,
)
TRANSPOSE = Op(
    "transpose",
    lambda dtype, x, axes: (np.ascontiguousarray(x.transpose(axes)), axes),
    lambda dtype, gradient, axes, needed: (np.ascontiguousarray(gradient.transpose(np.argsort(axes))),),
    on_grid=True,
    gradient_on_grid=True,
)


def _index_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    shape, index = saved
    whole = np.zeros(shape, gradient.dtype)
    whole[index] = gradient
    return (whole,)


INDEX = Op(
    "strided_slice",
    lambda dtype, x, index: (np.ascontiguousarray(x[index]), (x.shape, index)),
    _index_backward,
    on_grid=True,
    gradient_on_grid=True,
)


def _concatenate_forward(dtype: DType, *arrays: Array, axis: int) -> tuple[Array, Any]:
    return np.concatenate(arrays, axis=axis), ([array.shape[axis] for array in arrays], axis)


def _concatenate_backward(
    dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    sizes, axis = saved
    return tuple(np.ascontiguousarray(part) for part in np.split(gradient, np.cumsum(sizes)[:-1], axis=axis))


CONCATENATE = Op("concat", _concatenate_forward, _concatenate_backward, on_grid=True, gradient_on_grid=True)


def _stack_backward(dtype: DType, gradient: Array, axis: int, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    return tuple(np.ascontiguousarray(part) for part in np.moveaxis(gradient, axis, 0))


STACK = Op(
    "pack",
    lambda dtype, *arrays, axis: (np.stack(arrays, axis=axis), axis),
    _stack_backward,
    on_grid=True,
    gradient_on_grid=True,
)


def _join(gradient: list[Array | None], like: Array, axis: int, *, stacked: bool) -> Array:
    parts = [np.zeros_like(like) if part is None else part for part in gradient]
    return np.stack(parts, axis=axis) if stacked else np.concatenate(parts, axis=axis)


def _unstack_forward(dtype: DType, x: Array, axis: int) -> tuple[Any, Any]:
    parts = [np.ascontiguousarray(part) for part in np.moveaxis(x, axis, 0)]
    return parts, (parts[0], axis)


def _split_forward(dtype: DType, x: Array, parts: int, axis: int) -> tuple[Any, Any]:
    arrays = [np.ascontiguousarray(part) for part in np.split(x, parts, axis=axis)]
    return arrays, (arrays[0], axis)


UNSTACK = Op(
    "unpack",
    _unstack_forward,
    lambda dtype, gradient, saved, needed: (_join(gradient, *saved, stacked=True),),  # type: ignore[arg-type]
    on_grid=True,
    gradient_on_grid=True,
)
SPLIT = Op(
    "split",
    _split_forward,
    lambda dtype, gradient, saved, needed: (_join(gradient, *saved, stacked=False),),  # type: ignore[arg-type]
    on_grid=True,
    gradient_on_grid=True,
)


def _pad_backward(dtype: DType, gradient: Array, widths: Widths, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    inside = tuple(slice(before, size - after) for (before, after), size in zip(widths, gradient.shape, strict=True))
    return (np.ascontiguousarray(gradient[inside]),)


PAD = Op(
    "pad",
    lambda dtype, x, widths: (np.pad(x, widths), widths),
    _pad_backward,
    on_grid=True,
    gradient_on_grid=True,
)


def _repeat_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    times, axis = saved
    split = (*gradient.shape[:axis], gradient.shape[axis] // times, times, *gradient.shape[axis + 1 :])
    return (gradient.reshape(split).sum(axis=axis + 1),)


REPEAT = Op(
    "repeat",
    lambda dtype, x, times, axis: (np.repeat(x, times, axis=axis), (times, axis)),
    _repeat_backward,
    on_grid=True,
)


def _gather_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Any, ...]:
    shape, rows, apart = saved
    found = RowGradient(rows.reshape(-1), gradient.reshape(-1, shape[-1]), shape)
    return (found if apart else found.merged(),)


GATHER = Op(
    "gather",
    lambda dtype, table, rows, apart: (table[rows], (table.shape, rows, apart)),
    _gather_backward,
    on_grid=True,
)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the values in another shape; one -1 is allowed."""
    return apply(RESHAPE, x, shape=shape)


def transpose(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Return the values with their axes in another order."""
    return apply(TRANSPOSE, x, axes=tuple(axes))


def take(x: Tensor, index: Any) -> Tensor:
    """Return a basic index (integers and slices) of the values."""
    return apply(INDEX, x, index=index)


def concatenate(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Return tensors of one dtype joined along an axis."""
    return apply(CONCATENATE, *parts, axis=axis)


def stack(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Return tensors of one shape and dtype stacked along a new axis."""
    return apply(STACK, *parts, axis=axis)


def unstack(x: Tensor, axis: int) -> list[Tensor]:
    """Return the slices along an axis, without that axis."""
    return apply_parts(UNSTACK, x, axis=axis)


def split(x: Tensor, parts: int, axis: int) -> list[Tensor]:
    """Return equal parts along an axis."""
    return apply_parts(SPLIT, x, parts=parts, axis=axis)


def pad(x: Tensor, widths: Widths) -> Tensor:
    """Return the values with zeros around them: (before, after) for each axis."""
    return apply(PAD, x, widths=widths)


def repeat(x: Tensor, times: int, axis: int) -> Tensor:
    """Return every element so many times in a row, along an axis."""
    return apply(REPEAT, x, times=times, axis=axis)


def gather(table: Tensor, rows: Array, *, apart: bool = False) -> Tensor:
    """Return rows of a matrix by integer numbers of any shape.

    The gradient of a variable is a RowGradient if ``apart`` (TensorFlow's IndexedSlices); else equal rows are added.
    """
    return apply(GATHER, table, rows=rows, apart=apart)
