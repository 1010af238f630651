"""Built-in real data, and which rows a step sees: a function of (seed, epoch, step), never of what ran before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.configured import choose
from engine.errors import DataInvalid, InvalidValue

_ORDER_STREAM = 1
"""Second word of the generator's key: keeps the orders of rows apart from all else that the seed decides."""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set without loading it.

    Attributes:
        name: by which ``load`` and a job ask for it.
        shapes: of "x" and "y", rows first.
        dtype: of x; y is int64.
        samples: rows.
        classes: labels are 0 .. classes - 1; None for targets that are not labels.
        description: one sentence.
        attribution: who is to be named wherever the data is shown.
        license: its SPDX name.
    """

    name: str
    shapes: Mapping[str, tuple[int, ...]]
    dtype: str
    samples: int
    classes: int | None
    description: str
    attribution: str
    license: str


@dataclass(frozen=True)
class Dataset:
    """A loaded data set: x (float32) and y (int64), one row a sample, and what ``DatasetInfo`` says of it."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    info: DatasetInfo

    @property
    def name(self) -> str:
        """Name by which it was asked for."""
        return self.info.name


_DIGITS = DatasetInfo(
    name="digits",
    shapes=MappingProxyType({"x": (1797, 64), "y": (1797,)}),
    dtype="float32",
    samples=1797,
    classes=10,
    description="Handwritten digits: grey images of 8x8 pixels, row by row, from 0 (paper) to 1 (ink).",
    attribution=(
        "E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning "
        "Repository, https://doi.org/10.24432/C50P49; the test set, as scikit-learn ships it, pixels divided by 16."
    ),
    license="CC-BY-4.0",
)

BUILTIN: Mapping[str, DatasetInfo] = MappingProxyType({_DIGITS.name: _DIGITS})
"""Every built-in data set by name; nothing is loaded."""

_DIGITS_LARGEST_PIXEL = 16


def load(name: str) -> Dataset:
    """Return a built-in data set, in arrays that the caller may change.

    Raises:
        Unsupported: there is none of that name; the message lists those there are.
    """
    info: DatasetInfo = choose("dataset", BUILTIN, name)
    x, y = _arrays(info.name)
    return Dataset(x.copy(), y.copy(), info)


@cache
def _arrays(name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the samples and labels, unpacked once in a process."""
    source = resources.files("engine") / "data" / f"{name}.npz"
    with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        pixels, labels = arrays["x"], arrays["y"]
    return pixels.astype(np.float32) / _DIGITS_LARGEST_PIXEL, labels.astype(np.int64)


def split(samples: int, validation_split: float) -> tuple[slice, slice]:
    """Return the rows to train on and the rows to validate on: the last ones, before any shuffle, as Keras has it.

    Args:
        samples: rows in all.
        validation_split: share of rows to validate on, in [0, 1). 0: all rows are trained on.

    Raises:
        InvalidValue: the share is not in [0, 1).
        DataInvalid: one of the two parts would be empty.
    """
    if not 0 <= validation_split < 1:
        message = f"`validation_split` must be at least 0 and less than 1, got {validation_split!r}."
        raise InvalidValue(message, path=("validation_split",))
    at = math.floor(samples * (1.0 - validation_split))
    if validation_split and at in {0, samples}:
        raise DataInvalid(
            f"Training data contains {samples} samples, which is not sufficient to split it into a validation and "
            f"training set as specified by `validation_split={validation_split}`. Either provide more data, or a "
            "different value for the `validation_split` argument.",
            path=("validation_split",),
        )
    return slice(0, at), slice(at, samples)


def order(seed: int, epoch: int, samples: int, shuffle: bool) -> NDArray[Any]:
    """Return the order in which an epoch takes its rows: a permutation, the same whenever it is asked for.

    Args:
        seed: of the job, at least 0.
        epoch: from 0.
        samples: rows to train on.
        shuffle: without it, rows come in the order of the data.
    """
    if not shuffle:
        return np.arange(samples)
    # As uint64: a list that holds a number above 2**63 would become float64, and neighbouring seeds one.
    key = np.array([seed % 2**64, _ORDER_STREAM], np.uint64)
    bits = np.random.Philox(key=key, counter=[0, 0, epoch, 0])
    return np.random.Generator(bits).permutation(samples)
