"""Convolutions as matrix products over patches.

Sums of the forward pass run in float32 (or float64) and results are rounded once; those of the backward pass are narrow
where TensorFlow's are (:mod:`engine.ops.narrow_products`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from engine.dtypes import FLOAT16, DType
from engine.ops.half_columns import in_order
from engine.ops.linear import as_rows
from engine.ops.narrow_products import is_short, narrow_product
from engine.ops.windows import Pair, Windows, patches, scatter, windows
from engine.tape import Array, Op, Tensor, apply, rounded

Product = Callable[[Array, Array], Array]


def _as_matrix(kernel: Array) -> Array:
    return kernel.reshape(-1, kernel.shape[-1])


def _convolve(x: Array, kernel: Array, at: Windows, groups: int) -> tuple[Array, Array]:
    seen = patches(x, at)
    outputs = kernel.shape[-1]
    if groups == 1:
        product = as_rows(seen.reshape(-1, seen.shape[3] * seen.shape[4])) @ _as_matrix(kernel)
        return product.reshape(*seen.shape[:3], outputs), seen
    depth, width = kernel.shape[2], outputs // groups
    product = np.empty((*seen.shape[:3], outputs), x.dtype)
    for group in range(groups):
        part = np.ascontiguousarray(seen[..., group * depth : (group + 1) * depth])
        own = np.ascontiguousarray(kernel[..., group * width : (group + 1) * width])
        product[..., group * width : (group + 1) * width] = (
            part.reshape(-1, seen.shape[3] * depth) @ _as_matrix(own)
        ).reshape(*seen.shape[:3], width)
    return product, seen


def _conv_forward(dtype: DType, x: Array, kernel: Array, at: Windows, groups: int, *, fused: bool) -> tuple[Array, Any]:
    y, seen = _convolve(x, kernel, at, groups)
    return y, (seen, kernel, at, groups, fused)


def _conv_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    seen, kernel, at, groups, fused = saved
    product = partial(narrow_product, dtype=dtype, fused=fused)
    if groups == 1:
        by_seen, by_kernel = _products(gradient, seen, kernel, needed, product)
    else:
        by_seen, by_kernel = _grouped_products(gradient, seen, kernel, groups, needed)
    # TensorFlow's kernel is a matrix product, whose result is rounded, and a scatter of it.
    return None if by_seen is None else scatter(by_seen, at, dtype), by_kernel


def _products(
    gradient: Array, seen: Array, kernel: Array, needed: tuple[bool, ...], product: Product
) -> tuple[Array | None, ...]:
    rows = as_rows(gradient)
    by_seen = product(rows, _as_matrix(kernel).T).reshape(seen.shape) if needed[0] else None
    by_kernel = product(seen.reshape(len(rows), -1).T, rows).reshape(kernel.shape) if needed[1] else None
    return by_seen, by_kernel


def _grouped_products(
    gradient: Array, seen: Array, kernel: Array, groups: int, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    depth, width = kernel.shape[2], kernel.shape[3] // groups
    by_seen = np.empty_like(seen) if needed[0] else None
    by_kernel = np.empty_like(kernel) if needed[1] else None
    for group in range(groups):
        rows = np.ascontiguousarray(gradient[..., group * width : (group + 1) * width]).reshape(-1, width)
        inputs, outputs = slice(group * depth, (group + 1) * depth), slice(group * width, (group + 1) * width)
        if by_kernel is not None:
            part = np.ascontiguousarray(seen[..., inputs]).reshape(len(rows), -1)
            by_kernel[..., outputs] = (part.T @ rows).reshape(*kernel.shape[:3], width)
        if by_seen is not None:
            own = _as_matrix(np.ascontiguousarray(kernel[..., outputs]))
            by_seen[..., inputs] = (rows @ own.T).reshape(*seen.shape[:4], depth)
    return by_seen, by_kernel


def _transpose_forward(dtype: DType, x: Array, kernel: Array, at: Windows, *, fused: bool) -> tuple[Array, Any]:
    # kernel: (height, width, outputs, inputs); what a convolution's backward does to its gradient, in its kernel.
    product = partial(narrow_product, dtype=dtype, fused=fused)
    seen = product(as_rows(x), _as_matrix(kernel).T).reshape(*x.shape[:3], -1, kernel.shape[2])
    return scatter(seen, at, dtype), (x, kernel, at, fused)


def _transpose_backward(
    dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    x, kernel, at, fused = saved
    product = partial(narrow_product, dtype=dtype, fused=fused)
    seen = patches(gradient, at)
    rows = seen.reshape(-1, seen.shape[3] * seen.shape[4])
    by_x = (rows @ _as_matrix(kernel)).reshape(x.shape) if needed[0] else None
    by_kernel = product(rows.T, as_rows(x)).reshape(kernel.shape) if needed[1] else None
    return by_x, by_kernel


def _depthwise_forward(dtype: DType, x: Array, kernel: Array, at: Windows, *, fused: bool) -> tuple[Array, Any]:
    padded = at.pad(x)
    channels, multiplier = kernel.shape[2:]
    taps = kernel.reshape(-1, channels, multiplier)
    y = np.zeros((x.shape[0], *at.out, channels, multiplier), x.dtype)
    for tap, (rows, columns) in at.taps():
        terms = padded[:, rows, columns, :, np.newaxis] * taps[tap]
        if dtype is FLOAT16:
            y = rounded(y + (terms if fused else rounded(terms, dtype)), dtype)
        else:
            y += terms
    return y.reshape(*y.shape[:3], channels * multiplier), (padded, kernel, at, fused)


def _depthwise_backward(
    dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    padded, kernel, at, fused = saved
    channels, multiplier = kernel.shape[2:]
    taps = kernel.reshape(-1, channels, multiplier)
    spread = gradient.reshape(*gradient.shape[:3], channels, multiplier)
    places = spread.shape[1] * spread.shape[2]
    narrow = dtype is FLOAT16 and is_short(places, len(spread) * taps.size)
    by_padded = np.zeros_like(padded)
    by_kernel = np.empty_like(taps)
    for tap, (rows, columns) in at.taps():
        by_padded[:, rows, columns] += (spread * taps[tap]).sum(axis=-1)
        if not narrow:
            by_kernel[tap] = (padded[:, rows, columns, :, np.newaxis] * spread).sum(axis=(0, 1, 2))
    if narrow:
        by_kernel = _half_kernel(padded, spread, at, fused=fused)
    return at.crop(by_padded) if needed[0] else None, by_kernel.reshape(kernel.shape)


def _half_kernel(padded: Array, spread: Array, at: Windows, *, fused: bool) -> Array:
    """Return the gradient of a depthwise kernel as TensorFlow sums it in float16: place by place, then the images."""
    seen = np.stack([padded[:, rows, columns] for _, (rows, columns) in at.taps()], axis=3)
    products = seen[..., np.newaxis] * spread[:, :, :, np.newaxis]
    terms = np.moveaxis(products.reshape(len(products), -1, *products.shape[3:]), 1, 0)
    if not fused:
        terms = rounded(np.ascontiguousarray(terms), FLOAT16)
    images = np.zeros(terms.shape[1:], terms.dtype)
    for term in terms:
        images = rounded(images + term, FLOAT16)
    return in_order(images)


CONV = Op("conv2d", _conv_forward, _conv_backward, rounds_inside=True)
CONV_TRANSPOSE = Op("conv2d_transpose", _transpose_forward, _transpose_backward, rounds_inside=True)
DEPTHWISE_CONV = Op("depthwise_conv2d", _depthwise_forward, _depthwise_backward, rounds_inside=True)


def conv(
    x: Tensor,
    kernel: Tensor,
    strides: Pair,
    dilation: Pair,
    padding: str,
    groups: int = 1,
    *,
    fused: bool = True,
) -> Tensor:
    """Return the cross-correlation that Keras calls convolution.

    Args:
        x: (batch, height, width, channels).
        kernel: (height, width, channels / groups, outputs), of the same dtype.
        strides: of the window.
        dilation: of its taps.
        padding: "valid", "same" or "causal".
        groups: channels and outputs are cut into so many groups, each of which sees only its own.
        fused: see :func:`~engine.ops.narrow_products.narrow_product`.

    Returns:
        (batch, places high, places wide, outputs).
    """
    at = windows(_size(x), _size_of_kernel(kernel), strides, dilation, padding)
    return apply(CONV, x, kernel, at=at, groups=groups, fused=fused)


def conv_transpose(
    x: Tensor,
    kernel: Tensor,
    size: Pair,
    strides: Pair,
    dilation: Pair,
    padding: str,
    *,
    fused: bool = True,
) -> Tensor:
    """Return the transpose of a convolution: the image of the given size whose convolution has x's shape.

    Args:
        x: (batch, places high, places wide, inputs).
        kernel: (height, width, outputs, inputs), of the same dtype.
        size: height and width of the result.
        strides: of the window.
        dilation: of its taps.
        padding: "valid" or "same".
        fused: see :func:`~engine.ops.narrow_products.narrow_product`.
    """
    at = windows(size, _size_of_kernel(kernel), strides, dilation, padding)
    return apply(CONV_TRANSPOSE, x, kernel, at=at, fused=fused)


def depthwise_conv(
    x: Tensor, kernel: Tensor, strides: Pair, dilation: Pair, padding: str, *, fused: bool = True
) -> Tensor:
    """Return each channel convolved by itself.

    Args:
        x: (batch, height, width, channels).
        kernel: (height, width, channels, multiplier), of the same dtype.
        strides: of the window.
        dilation: of its taps.
        padding: "valid", "same" or "causal".
        fused: see :func:`~engine.ops.narrow_products.narrow_product`.

    Returns:
        (batch, places high, places wide, channels * multiplier).
    """
    at = windows(_size(x), _size_of_kernel(kernel), strides, dilation, padding)
    return apply(DEPTHWISE_CONV, x, kernel, at=at, fused=fused)


def _size(x: Tensor) -> Pair:
    return x.shape[1], x.shape[2]


def _size_of_kernel(kernel: Tensor) -> Pair:
    return kernel.shape[0], kernel.shape[1]
