"""Whether data fit a model and its loss, found out before the first step."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from engine.configured import shown
from engine.dtypes import FLOAT32, DType
from engine.errors import DataInvalid, ShapeMismatch
from engine.layers import Shape
from engine.losses import Loss
from engine.tape import Array

Place: TypeAlias = tuple[str, ...]
"""Where data came from: "x", "y" or "sample_weight", and the name of an input or output where there are several."""

_NUMBERS = "biuf"


def check_inputs(x: Array, shape: Shape, place: Place = ("x",)) -> None:
    """Check inputs against a model's input shape.

    Args:
        x: (samples, ...).
        shape: of the model's input, batch axis first; None fits any size.
        place: where the data came from: "x", and the name of the input where there are several.

    Raises:
        DataInvalid: empty, no numbers, or not finite; the first bad row is named.
        ShapeMismatch: shapes differ.
    """
    _check_numbers(x, place)
    fits = x.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape[1:], x.shape[1:], strict=True)
    )
    if not fits:
        have = _batched((None, *x.shape[1:]))
        raise ShapeMismatch(
            f"The model takes inputs of shape {_batched(shape)}, but {_words(place)} has shape {have}. "
            "Change the input shape of the model or the shape of the data.",
            path=place,
        )


def check_labels(
    y: Array, samples: int, output: Shape, loss: Loss | None, place: Place = ("y",), dtype: DType = FLOAT32
) -> None:
    """Check labels against the number of samples, the model's output and what the loss, if any, takes.

    Args:
        y: labels, one a row.
        samples: how many rows there are.
        output: shape of the model's output, batch axis first.
        loss: what they are compared by.
        place: where the labels came from.
        dtype: of the model's output.

    Raises:
        DataInvalid: empty, not finite, or class numbers out of range; the first bad row is named.
        ShapeMismatch: lengths or shapes differ.
    """
    _check_numbers(y, place)
    if len(y) != samples:
        message = f"`x` has {samples} rows, but {_words(place)} has {len(y)}; there must be one label a row."
        raise ShapeMismatch(message, path=place)
    if loss is None:
        return
    if loss.labels_are_classes:
        _check_classes(y, output, loss, place)
        _check_seen_classes(y, output[-1], loss, place, dtype)
    elif not _values_fit(y.shape[1:], output[1:]):
        raise ShapeMismatch(
            f"{loss.class_name} wants labels of the output's shape {_batched(output)}, but {_words(place)} has shape "
            f"{_batched((None, *y.shape[1:]))}.{_one_hot_hint(y, output)}",
            path=place,
        )


def check_weights(weights: Array, samples: int, place: Place = ("sample_weight",)) -> None:
    """Check sample weights: a finite number a row, or one for each entry of a row.

    Raises:
        DataInvalid: not finite or no numbers.
        ShapeMismatch: another number of rows.
    """
    _check_numbers(weights, place)
    if len(weights) != samples:
        message = f"`x` has {samples} rows, but {_words(place)} has {len(weights)}."
        raise ShapeMismatch(message, path=place)


def _words(place: Place) -> str:
    return f"`{place[0]}`" if len(place) == 1 else f"`{place[0]}` of {place[1]!r}"


def _check_numbers(array: Array, place: Place) -> None:
    name = _words(place)
    if array.dtype.kind not in _NUMBERS:
        raise DataInvalid(f"{name} must hold numbers, got dtype {array.dtype}.", path=place)
    if array.ndim == 0 or array.size == 0:
        raise DataInvalid(
            f"{name} is empty (shape {list(array.shape)}); give at least one row.", code="empty_data", path=place
        )
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        if not finite.all():
            row, *rest = (int(index[0]) for index in np.nonzero(~finite))
            value = array[(row, *rest)]
            raise DataInvalid(
                f"{name} holds {value} at row {row}{_column(rest)}; every number must be finite. "
                "Remove or replace such rows.",
                code="nonfinite_data",
                path=(*place, row, *rest),
            )


def _column(rest: list[int]) -> str:
    return f", column {', '.join(map(str, rest))}" if rest else ""


def _check_classes(y: Array, output: Shape, loss: Loss, place: Place) -> None:
    classes = output[-1]
    labels = y[..., 0] if y.ndim == len(output) and y.shape[-1] == 1 else y
    if not _values_fit(labels.shape[1:], output[1:-1]):
        raise ShapeMismatch(
            f"{loss.class_name} wants one class number a row for outputs of shape {_batched(output)}, but "
            f"{_words(place)} has shape {_batched((None, *y.shape[1:]))}. "
            "One-hot labels go with CategoricalCrossentropy.",
            path=place,
        )
    ignored = getattr(loss, "ignore_class", None)
    bad = (labels != np.floor(labels)) | (labels < 0) | (labels >= (classes or np.inf))
    if ignored is not None:
        bad &= labels != ignored
    if bad.any():
        index = tuple(int(axis[0]) for axis in np.nonzero(bad))
        raise DataInvalid(
            f"{_words(place)} holds label {shown(labels[index].item())} at row {index[0]}, but the model's output has "
            f"{classes} units, so labels must be integers from 0 to {(classes or 0) - 1}. Correct the label or give "
            "the last layer more units.",
            code="label_out_of_range",
            path=(*place, *index),
        )


def _check_seen_classes(y: Array, classes: int | None, loss: Loss, place: Place, dtype: DType) -> None:
    """Refuse a class number that is none any more once the loss has rounded it: TensorFlow ends there too."""
    bad = (loss.seen(y, dtype) >= (classes or np.inf)) & (y < (classes or np.inf))
    if bad.any():
        index = tuple(int(axis[0]) for axis in np.nonzero(bad))
        held = f"{loss.seen(y, dtype)[index]:g}"
        raise DataInvalid(
            f"{_words(place)} holds label {shown(y[index].item())} at row {index[0]}. TF 2.4 casts class numbers to "
            f"the dtype of the predictions, {dtype.name}, where it is {held}, but the output has {classes} units. Give "
            'the last layer dtype "float32", or more units.',
            code="label_out_of_range",
            path=(*place, *index),
        )


def _values_fit(have: tuple[int, ...], want: Shape) -> bool:
    if want and want[-1] == 1 and len(have) == len(want) - 1:
        want = want[:-1]
    return len(have) == len(want) and all(w is None or h == w for h, w in zip(have, want, strict=True))


def _one_hot_hint(y: Array, output: Shape) -> str:
    whole = y.ndim == len(output) - 1 and (y == np.floor(y)).all()
    return " Class numbers go with SparseCategoricalCrossentropy." if whole and (output[-1] or 0) > 1 else ""


def _batched(shape: Shape) -> str:
    return "(" + ", ".join(["batch", *("?" if size is None else str(size) for size in shape[1:])]) + ")"
