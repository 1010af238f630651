"""Element-wise arithmetic with broadcasting, and the cast between grids."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import FLOAT16, DType
from engine.ops.half_columns import sum_to
from engine.rounding import round_to
from engine.tape import Array, Op, Tensor, apply, rounded


def unbroadcast(gradient: Array, shape: tuple[int, ...], dtype: DType) -> Array:
    """Return the gradient, on the grid of the dtype, summed over the axes along which an input was broadcast."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        extra + axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[extra + axis] != 1
    )
    if dtype is FLOAT16 and gradient.size:
        return sum_to(gradient, axes).reshape(shape)
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)


def _add_backward(dtype: DType, gradient: Array, shapes: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    pairs = zip(shapes, needed, strict=True)
    return tuple(unbroadcast(gradient, shape, dtype) if need else None for shape, need in pairs)


def _subtract_backward(
    dtype: DType, gradient: Array, shapes: Any, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    left = unbroadcast(gradient, shapes[0], dtype) if needed[0] else None
    right = -unbroadcast(gradient, shapes[1], dtype) if needed[1] else None
    return left, right


def _multiply_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    left, right = saved
    return (
        unbroadcast(rounded(gradient * right, dtype), left.shape, dtype) if needed[0] else None,
        unbroadcast(rounded(gradient * left, dtype), right.shape, dtype) if needed[1] else None,
    )


def _divide_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    left, right = saved
    by_left = unbroadcast(rounded(gradient / right, dtype), left.shape, dtype) if needed[0] else None
    if not needed[1]:
        return by_left, None
    slope = rounded(rounded(-left / right, dtype) / right, dtype)
    return by_left, unbroadcast(rounded(gradient * slope, dtype), right.shape, dtype)


ADD = Op("add", lambda dtype, a, b: (a + b, (a.shape, b.shape)), _add_backward)
SUBTRACT = Op("subtract", lambda dtype, a, b: (a - b, (a.shape, b.shape)), _subtract_backward)
MULTIPLY = Op("multiply", lambda dtype, a, b: (a * b, (a, b)), _multiply_backward)
DIVIDE = Op("divide", lambda dtype, a, b: (a / b, (a, b)), _divide_backward)


def _choose_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    first, left, right = saved  # `first`: where the left input was taken; ties belong to it
    zero = gradient.dtype.type(0)
    return (
        unbroadcast(np.where(first, gradient, zero), left, dtype) if needed[0] else None,
        unbroadcast(np.where(first, zero, gradient), right, dtype) if needed[1] else None,
    )


WHERE = Op(
    "select",
    lambda dtype, a, b, condition: (np.asarray(np.where(condition, a, b)), (condition, a.shape, b.shape)),
    _choose_backward,
    on_grid=True,
)
MAXIMUM = Op(
    "maximum", lambda dtype, a, b: (np.maximum(a, b), (a >= b, a.shape, b.shape)), _choose_backward, on_grid=True
)
MINIMUM = Op(
    "minimum", lambda dtype, a, b: (np.minimum(a, b), (a <= b, a.shape, b.shape)), _choose_backward, on_grid=True
)
NEGATIVE = Op(
    "negative",
    lambda dtype, a: (-a, None),
    lambda dtype, gradient, saved, needed: (-gradient,),
    on_grid=True,
    gradient_on_grid=True,
)
SCALE = Op(
    "scale",
    lambda dtype, a, factor: (a * factor, factor),
    lambda dtype, gradient, factor, needed: (gradient * factor,),
)
SQUARE = Op(
    "square",
    lambda dtype, a: (a * a, a),
    lambda dtype, gradient, a, needed: (gradient * rounded(a + a, dtype),),
)
ABSOLUTE = Op(
    "absolute",
    lambda dtype, a: (np.abs(a), a),
    lambda dtype, gradient, a, needed: (gradient * np.sign(a),),
    on_grid=True,
    gradient_on_grid=True,
)
LOG = Op(
    "log",
    lambda dtype, a: (np.log(a), a),
    lambda dtype, gradient, a, needed: (gradient * rounded(np.reciprocal(a), dtype),),
)
CLIP = Op(
    "clip",
    lambda dtype, a, low, high: (np.clip(a, low, high), (a >= low) & (a <= high)),
    lambda dtype, gradient, inside, needed: (np.where(inside, gradient, gradient.dtype.type(0)),),
    gradient_on_grid=True,
)
MAXIMUM_SCALAR = Op(
    "maximum",
    lambda dtype, a, floor: (np.maximum(a, floor), a >= floor),
    lambda dtype, gradient, above, needed: (np.where(above, gradient, gradient.dtype.type(0)),),
    gradient_on_grid=True,
)


def _cast_forward(dtype: DType, a: Array) -> tuple[Array, Any]:
    if dtype.kind != "complex":
        a = a.real  # as TF: the imaginary part is lost
    if not dtype.low_precision:
        return a.astype(dtype.storage, copy=False), a.dtype
    if a.dtype == np.float64:
        # Straight to the grid: by way of float32 it would be rounded twice.
        return a.astype(dtype.edge).astype(np.float32), a.dtype
    return round_to(a.astype(np.float32, copy=False), dtype), a.dtype


def _cast_backward(
    dtype: DType, gradient: Array, storage: np.dtype[Any], needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    return (gradient.astype(storage, copy=False),)


CAST = Op("cast", _cast_forward, _cast_backward, on_grid=True)


def add(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left + right`` with broadcasting; one dtype."""
    return apply(ADD, left, right)


def subtract(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left - right`` with broadcasting; one dtype."""
    return apply(SUBTRACT, left, right)


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left * right`` with broadcasting; one dtype."""
    return apply(MULTIPLY, left, right)


def divide(left: Tensor, right: Tensor) -> Tensor:
    """Return ``left / right`` with broadcasting; one dtype."""
    return apply(DIVIDE, left, right)


def where(condition: Array, left: Tensor, right: Tensor) -> Tensor:
    """Return left where the condition (a constant that broadcasts) holds, else right."""
    return apply(WHERE, left, right, condition=condition)


def maximum(left: Tensor, right: Tensor) -> Tensor:
    """Return the larger of each pair; the gradient of ties goes to the left."""
    return apply(MAXIMUM, left, right)


def minimum(left: Tensor, right: Tensor) -> Tensor:
    """Return the smaller of each pair; the gradient of ties goes to the left."""
    return apply(MINIMUM, left, right)


def negative(tensor: Tensor) -> Tensor:
    """Return ``-tensor``."""
    return apply(NEGATIVE, tensor)


def scale(tensor: Tensor, factor: float) -> Tensor:
    """Return the tensor times a number, which is first rounded to the tensor's dtype (as TF casts a Python scalar)."""
    on_grid = rounded(np.array(factor, dtype=tensor.dtype.storage).reshape(1), tensor.dtype)[0]
    return apply(SCALE, tensor, factor=on_grid)


def square(tensor: Tensor) -> Tensor:
    """Return ``tensor ** 2``."""
    return apply(SQUARE, tensor)


def absolute(tensor: Tensor) -> Tensor:
    """Return ``|tensor|``; the gradient at 0 is 0."""
    return apply(ABSOLUTE, tensor)


def log(tensor: Tensor) -> Tensor:
    """Return the natural logarithm."""
    return apply(LOG, tensor)


def clip(tensor: Tensor, low: float, high: float) -> Tensor:
    """Return values limited to [low, high]; the limits are rounded to the dtype, and the gradient passes at them."""
    limits = rounded(np.array([low, high], dtype=tensor.dtype.storage), tensor.dtype)
    return apply(CLIP, tensor, low=limits[0], high=limits[1])


def maximum_scalar(tensor: Tensor, floor: float) -> Tensor:
    """Return ``max(tensor, floor)``; the gradient passes at the floor."""
    return apply(MAXIMUM_SCALAR, tensor, floor=tensor.data.dtype.type(floor))


def cast(tensor: Tensor, dtype: DType) -> Tensor:
    """Return the values on the grid of another dtype; its gradient is cast back. The same tensor if nothing changes."""
    return tensor if tensor.dtype is dtype else apply(CAST, tensor, dtype=dtype)
