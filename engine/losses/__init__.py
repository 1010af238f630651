"""Losses by Keras's names, and how their configs are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.configured import choose, refuse, serialized, split_serialized
from engine.conventions import TF24, Conventions
from engine.errors import located
from engine.losses.base import EPSILON, Loss
from engine.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    SparseCategoricalCrossentropy,
)
from engine.losses.divergence import KLDivergence, Poisson
from engine.losses.focal import BinaryFocalCrossentropy, CategoricalFocalCrossentropy
from engine.losses.hinge import CategoricalHinge, Hinge, SquaredHinge
from engine.losses.overlap import Dice, Tversky
from engine.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
)

__all__ = [
    "EPSILON",
    "LOSSES",
    "NAMES",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "deserialize",
    "get",
    "serialize",
]

LOSSES: Mapping[str, type[Loss]] = MappingProxyType(
    {
        loss.class_name: loss
        for loss in (
            BinaryCrossentropy,
            BinaryFocalCrossentropy,
            CategoricalCrossentropy,
            CategoricalFocalCrossentropy,
            CategoricalGeneralizedCrossEntropy,
            CategoricalHinge,
            CosineSimilarity,
            Dice,
            Hinge,
            Huber,
            KLDivergence,
            LogCosh,
            MeanAbsoluteError,
            MeanAbsolutePercentageError,
            MeanSquaredError,
            MeanSquaredLogarithmicError,
            Poisson,
            SparseCategoricalCrossentropy,
            SquaredHinge,
            Tversky,
        )
    }
)
"""Every loss class by its Keras name."""

_FUNCTIONS: Mapping[str, type[Loss]] = {
    "binary_crossentropy": BinaryCrossentropy,
    "binary_focal_crossentropy": BinaryFocalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
    "categorical_generalized_cross_entropy": CategoricalGeneralizedCrossEntropy,
    "categorical_hinge": CategoricalHinge,
    "cosine_similarity": CosineSimilarity,
    "dice": Dice,
    "hinge": Hinge,
    "huber": Huber,
    "huber_loss": Huber,
    "kl_divergence": KLDivergence,
    "kullback_leibler_divergence": KLDivergence,
    "log_cosh": LogCosh,
    "logcosh": LogCosh,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "mean_squared_error": MeanSquaredError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError,
    "poisson": Poisson,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "squared_hinge": SquaredHinge,
    "tversky": Tversky,
}
_SHORT: Mapping[str, type[Loss]] = {
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mse": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
}
NAMES: Mapping[str, type[Loss]] = MappingProxyType(
    {**_FUNCTIONS, **_SHORT, **{name.upper(): loss for name, loss in _SHORT.items()}, **LOSSES}
)
"""Every name that stands for a loss with its defaults."""


def get(identifier: Any, conventions: Conventions = TF24) -> Loss:
    """Read a loss: a name, a serialized dict of Keras 2 or 3, or a Loss.

    Raises:
        Unsupported: an unknown name or class.
        InvalidValue: not an identifier.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, str):
        cls: type[Loss] = choose("loss", NAMES, identifier)
        return cls(conventions=conventions)
    if isinstance(identifier, Mapping):
        return deserialize(identifier, conventions)
    raise refuse("loss", "the name of a loss or a serialized loss", identifier)


def deserialize(config: Mapping[str, Any], conventions: Conventions = TF24) -> Loss:
    """Return the loss that ``{"class_name", "config"}`` describes."""
    if isinstance(config.get("config"), str):  # Keras 3 writes a plain function so
        return get(config["config"], conventions)
    class_name, inner = split_serialized("loss", config)
    cls: type[Loss] = choose("loss", LOSSES, class_name)
    with located("config"):
        return cls.from_config(inner, conventions=conventions)


def serialize(loss: Loss, conventions: Conventions | None = None) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of a loss, in the spelling of its line of Keras."""
    return serialized(loss, conventions or loss.conventions, "keras.losses")
