"""Where a sliding window goes: the geometry shared by convolution and pooling, and the two moves over it.

Images are (batch, height, width, channels); one-dimensional data is an image of height 1.
Padding follows TensorFlow: "same" pads ``(ceil(n / stride) - 1) * stride + span - n``, the smaller half before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from engine.dtypes import FLOAT16, DType
from engine.errors import ShapeMismatch
from engine.rounding import round_to
from engine.tape import Array, rounded

Pair = tuple[int, int]

_WIDE = 8
"""Channels from which on copying place by place is faster than tap by tap."""

_IN_CACHE = 131072
"""Numbers that stay in the second-level cache together with what they are added to."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The places of a window over an image.

    Attributes:
        size: height and width of the image.
        kernel: height and width of the window, in taps.
        strides: from one place to the next.
        dilation: from one tap to the next.
        before: zeros put before the image.
        after: zeros put after it.
        out: number of places in each direction.
    """

    size: Pair
    kernel: Pair
    strides: Pair
    dilation: Pair
    before: Pair
    after: Pair
    out: Pair

    def taps(self) -> Iterator[tuple[int, tuple[slice, slice]]]:
        """Yield each tap's number and the stretch of the padded image that it sees over all places."""
        for row in range(self.kernel[0]):
            for column in range(self.kernel[1]):
                top, left = row * self.dilation[0], column * self.dilation[1]
                yield (
                    row * self.kernel[1] + column,
                    (
                        slice(top, top + (self.out[0] - 1) * self.strides[0] + 1, self.strides[0]),
                        slice(left, left + (self.out[1] - 1) * self.strides[1] + 1, self.strides[1]),
                    ),
                )

    @property
    def padded(self) -> Pair:
        """Height and width of the padded image."""
        return (
            self.before[0] + self.size[0] + self.after[0],
            self.before[1] + self.size[1] + self.after[1],
        )

    def pad(self, x: Array, fill: float = 0.0) -> Array:
        """Return the padded image; the same array if there is nothing to pad."""
        if not any((*self.before, *self.after)):
            return x
        padded = np.full((x.shape[0], *self.padded, x.shape[3]), fill, x.dtype)
        self._inside(padded)[...] = x
        return padded

    def crop(self, padded: Array) -> Array:
        """Return the image within a padded one."""
        return np.ascontiguousarray(self._inside(padded))

    def _inside(self, padded: Array) -> Array:
        (top, left), (height, width) = self.before, self.size
        return padded[:, top : top + height, left : left + width]


def output_length(length: int | None, kernel: int, stride: int, dilation: int, padding: str) -> int | None:
    """Return how many places a window has along an axis; None for an unknown length.

    Raises:
        ShapeMismatch: the window is longer than the axis.
    """
    if length is None:
        return None
    span = (kernel - 1) * dilation + 1
    if padding in {"same", "causal"}:
        return math.ceil(length / stride)
    if length < span:
        raise ShapeMismatch(
            f"A window of {span} does not fit into an axis of {length} with padding 'valid'. "
            "Use padding 'same', a smaller window, or larger inputs."
        )
    return (length - span) // stride + 1


def windows(size: Pair, kernel: Pair, strides: Pair, dilation: Pair, padding: str) -> Windows:
    """Return the places of a window; padding is "valid", "same", or "causal" (all zeros before, width only)."""
    before, after, out = [], [], []
    for axis in range(2):
        span = (kernel[axis] - 1) * dilation[axis] + 1
        places = output_length(size[axis], kernel[axis], strides[axis], dilation[axis], padding)
        assert places is not None, "sizes are known here"
        if padding == "causal":
            total = first = span - 1
        else:
            total = max((places - 1) * strides[axis] + span - size[axis], 0) if padding == "same" else 0
            first = total // 2
        before.append(first)
        after.append(total - first)
        out.append(places)
    return Windows(size, kernel, strides, dilation, _pair(before), _pair(after), _pair(out))


def _pair(values: list[int]) -> Pair:
    return values[0], values[1]


def patches(x: Array, at: Windows) -> Array:
    """Return what the window sees at every place: (batch, places high, places wide, taps, channels)."""
    padded = at.pad(x)
    batch, channels = x.shape[0], x.shape[3]
    seen = np.empty((batch, *at.out, at.kernel[0] * at.kernel[1], channels), x.dtype)
    if channels >= _WIDE:
        np.copyto(seen.reshape(batch, *at.out, *at.kernel, channels), _overlapping(padded, at))
        return seen
    for tap, (rows, columns) in at.taps():
        seen[:, :, :, tap] = padded[:, rows, columns]
    return seen


def _overlapping(padded: Array, at: Windows) -> Array:
    """Return a view of what the window sees: (batch, places high, places wide, taps high, taps wide, channels)."""
    image, row, column, channel = padded.strides
    steps = (row * at.strides[0], column * at.strides[1], row * at.dilation[0], column * at.dilation[1])
    shape = (padded.shape[0], *at.out, *at.kernel, padded.shape[3])
    return np.lib.stride_tricks.as_strided(padded, shape, (image, *steps, channel), writeable=False)


def scatter(seen: Array, at: Windows, dtype: DType) -> Array:
    """Return the image on which every place has added what it sees: the transpose of :func:`patches`.

    Args:
        seen: (batch, places high, places wide, taps, channels); may be written.
        at: the places.
        dtype: to whose grid numbers are rounded before they are added, and in float16 after each addition.
    """
    batch = seen.shape[0]
    image = np.zeros((batch, *at.padded, seen.shape[4]), seen.dtype)
    images = max(1, _IN_CACHE * batch // max(seen.size, 1))
    for start in range(0, batch, images):
        # Some images at a time, which stay in the cache.
        block, part = rounded(seen[start : start + images], dtype), image[start : start + images]
        for tap, (rows, columns) in reversed([*at.taps()]):  # TensorFlow adds place by place
            part[:, rows, columns] += block[:, :, :, tap]
            if dtype is FLOAT16:
                part[:, rows, columns] = round_to(part[:, rows, columns], dtype)
    return at.crop(image)
