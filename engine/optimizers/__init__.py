"""Optimizers by Keras's names, and how their configs are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.configured import choose, refuse, split_serialized
from engine.conventions import TF24, Conventions
from engine.errors import EngineError
from engine.optimizers.adam import Adam
from engine.optimizers.base import Optimizer
from engine.optimizers.sgd import SGD

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Optimizer", "deserialize", "get", "serialize"]

OPTIMIZERS: Mapping[str, type[Optimizer]] = MappingProxyType({"Adam": Adam, "SGD": SGD})
"""Every optimizer class by its Keras name."""

_NAMES = {name.lower(): name for name in OPTIMIZERS}


def get(identifier: Any, conventions: Conventions = TF24) -> Optimizer:
    """Read an optimizer: a name in any case ("adam"), a serialized dict of Keras 2 or 3, or an Optimizer.

    Raises:
        Unsupported: an unknown name or class.
        InvalidValue: not an identifier.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        return deserialize({"class_name": identifier, "config": {}}, conventions)
    if isinstance(identifier, Mapping):
        return deserialize(identifier, conventions)
    raise refuse("optimizer", "the name of an optimizer or a serialized optimizer", identifier)


def deserialize(config: Mapping[str, Any], conventions: Conventions = TF24) -> Optimizer:
    """Return the optimizer that ``{"class_name", "config"}`` describes."""
    class_name, inner = split_serialized("optimizer", config)
    cls: type[Optimizer] = choose("optimizer", OPTIMIZERS, _NAMES.get(class_name.lower(), class_name))
    try:
        return cls.from_config(inner, conventions=conventions)
    except EngineError as error:
        raise error.at("config") from None


def serialize(optimizer: Optimizer, conventions: Conventions | None = None) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of an optimizer, in the spelling of its line of Keras."""
    line = conventions or optimizer.conventions
    short = {"class_name": optimizer.class_name, "config": optimizer.get_config(line)}
    return {"module": "keras.optimizers", **short, "registered_name": None} if line.keras3 else short
