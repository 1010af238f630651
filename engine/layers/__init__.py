"""Layers by Keras's names, and how their configs are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.configured import choose, split_serialized
from engine.conventions import TF24, Conventions
from engine.errors import EngineError
from engine.layers.activation import Activation, ReLU, Softmax
from engine.layers.base import Layer, Shape
from engine.layers.dense import Dense
from engine.layers.input import InputLayer
from engine.layers.normalization import BatchNormalization
from engine.layers.regularization import Dropout
from engine.layers.reshaping import Flatten
from engine.policy import Policy
from engine.weights import WeightSpec

__all__ = [
    "LAYERS",
    "Activation",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "InputLayer",
    "Layer",
    "ReLU",
    "Shape",
    "Softmax",
    "WeightSpec",
    "from_config",
    "serialize",
]

LAYERS: Mapping[str, type[Layer]] = MappingProxyType(
    {
        layer.class_name: layer
        for layer in (Activation, BatchNormalization, Dense, Dropout, Flatten, InputLayer, ReLU, Softmax)
    }
)
"""Every layer class by its Keras name."""


def from_config(config: Mapping[str, Any], conventions: Conventions = TF24, policy: Policy | None = None) -> Layer:
    """Return the layer that ``{"class_name", "config"}`` describes.

    Args:
        config: serialized layer of Keras 2 or 3.
        conventions: the line of Keras it behaves like.
        policy: used where the config has no dtype; None leaves the dtype open.

    Raises:
        Unsupported: a class this engine does not have.
        EngineError: a setting is not accepted; ``path`` leads to it.
    """
    class_name, inner = split_serialized("layer", config)
    try:
        cls: type[Layer] = choose("layer", LAYERS, class_name)
    except EngineError as error:
        raise error.at("class_name") from None
    try:
        layer = cls.from_config(inner, conventions=conventions)
    except EngineError as error:
        raise error.at("config") from None
    return layer if policy is None else layer.placed(layer.name or class_name.lower(), policy)


def serialize(layer: Layer, conventions: Conventions | None = None) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of a layer, in the spelling of its line of Keras."""
    line = conventions or layer.conventions
    short = {"class_name": layer.class_name, "config": layer.get_config(line)}
    return {"module": "keras.layers", **short, "registered_name": None} if line.keras3 else short
