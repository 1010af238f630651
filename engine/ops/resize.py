"""Bilinear enlargement with half-pixel centres, in float32 whatever it is given, as TensorFlow's kernel does it."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.dtypes import FLOAT32, DType
from engine.ops.elementwise import cast
from engine.tape import Array, Op, Tensor, apply


def _neighbours(length: int, times: int) -> tuple[Array, Array, Array]:
    """Return for each place of the larger axis its lower and upper neighbour, and the share of the upper one."""
    ratio = np.float32(length) / np.float32(length * times)  # times it, not divided by `times`: other last bits
    centres = (np.arange(length * times, dtype=np.float32) + np.float32(0.5)) * ratio - np.float32(0.5)
    floor = np.floor(centres)
    low = np.maximum(floor, 0).astype(np.int64)
    high = np.minimum(np.ceil(centres), length - 1).astype(np.int64)
    return low, high, (centres - floor).astype(np.float32)


def _forward(dtype: DType, x: Array, rows: Any, columns: Any) -> tuple[Array, Any]:
    (top, bottom, down), (left, right, across) = rows, columns
    storage, x = x.dtype, x.astype(np.float32, copy=False)
    down, across = down[:, np.newaxis, np.newaxis], across[:, np.newaxis]
    upper, lower = x[:, top], x[:, bottom]
    above = upper[:, :, left] + (upper[:, :, right] - upper[:, :, left]) * across
    below = lower[:, :, left] + (lower[:, :, right] - lower[:, :, left]) * across
    return above + (below - above) * down, (x.shape, storage, rows, columns)


def _backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    # float32 products are added up place by place, in the kernel's order, in the storage dtype of the image.
    shape, storage, (top, bottom, down), (left, right, across) = saved
    image = np.zeros(shape, storage)
    for i, (a, b, v) in enumerate(zip(top, bottom, down, strict=True)):
        for j, (c, d, h) in enumerate(zip(left, right, across, strict=True)):
            here = gradient[:, i, j]
            image[:, a, c] += here * (1 - v) * (1 - h)
            image[:, a, d] += here * (1 - v) * h
            image[:, b, c] += here * v * (1 - h)
            image[:, b, d] += here * v * h
    return (image,)


RESIZE_BILINEAR = Op("resize_bilinear", _forward, _backward)


def resize_bilinear(x: Tensor, times: tuple[int, ...]) -> Tensor:
    """Return images (batch, height, width, channels), enlarged by whole factors, in float32."""
    rows, columns = (_neighbours(length, factor) for length, factor in zip(x.shape[1:3], times, strict=True))
    return apply(RESIZE_BILINEAR, x, dtype=FLOAT32, rows=rows, columns=columns)


def cast_image(image: Tensor, dtype: DType) -> Tensor:
    """Return an image of floats in another dtype; integers are rounded."""
    return cast(image if dtype.is_floating else Tensor(np.rint(image.data), FLOAT32), dtype)
