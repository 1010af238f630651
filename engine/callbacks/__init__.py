"""Callbacks by Keras's names, and how their configs are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.callbacks.base import Action, Callback, Memory, Moment, Reaction, Surroundings
from engine.callbacks.learning_rate import ReduceLROnPlateau
from engine.callbacks.saving import ModelCheckpoint
from engine.callbacks.stopping import EarlyStopping, TerminateOnNaN
from engine.configured import choose, refuse, split_serialized
from engine.errors import located

__all__ = [
    "CALLBACKS",
    "Action",
    "Callback",
    "EarlyStopping",
    "Memory",
    "ModelCheckpoint",
    "Moment",
    "Reaction",
    "ReduceLROnPlateau",
    "Surroundings",
    "TerminateOnNaN",
    "get",
    "serialize",
]

CALLBACKS: Mapping[str, type[Callback]] = MappingProxyType(
    {cls.class_name: cls for cls in (EarlyStopping, ModelCheckpoint, ReduceLROnPlateau, TerminateOnNaN)}
)
"""Every callback class by its Keras name."""


def get(identifier: Any) -> Callback:
    """Read a callback: ``{"class_name", "config"}`` with the arguments of Keras's class, or a Callback.

    Raises:
        Unsupported: an unknown class.
        InvalidValue: not an identifier, or an argument that is not accepted.
    """
    if isinstance(identifier, Callback):
        return identifier
    if not isinstance(identifier, Mapping):
        raise refuse("callbacks", 'a callback such as {"class_name": "EarlyStopping", "config": {...}}', identifier)
    class_name, inner = split_serialized("callback", identifier)
    cls: type[Callback] = choose("callback", CALLBACKS, class_name)
    with located("config"):
        return cls.from_config(inner)


def serialize(callback: Callback) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of a callback."""
    return {"class_name": callback.class_name, "config": callback.get_config()}
