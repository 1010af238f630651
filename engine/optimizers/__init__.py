"""Optimizers by Keras's names, and how their configs are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from engine.configured import choose, refuse, split_serialized
from engine.conventions import TF24, Conventions
from engine.errors import EngineError
from engine.gradients import RowGradient
from engine.optimizers.adafactor import Adafactor
from engine.optimizers.adam import Adam, Adamax, AdamW, Lamb, Lion
from engine.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from engine.optimizers.base import Optimizer
from engine.optimizers.ftrl import Ftrl
from engine.optimizers.later_loss_scale_optimizers import Keras3LossScaleOptimizer
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.optimizers.nadam import Nadam
from engine.optimizers.sgd import SGD

__all__ = [
    "DEFAULT",
    "LOSS_SCALE_OPTIMIZERS",
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "AnyOptimizer",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "RowGradient",
    "deserialize",
    "get",
    "serialize",
]

OPTIMIZERS: Mapping[str, type[Optimizer]] = MappingProxyType(
    {
        cls.class_name: cls
        for cls in (Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, Nadam, RMSprop, SGD)
    }
)
"""Every optimizer class by its Keras name."""

DEFAULT = "rmsprop"
"""What ``Model.compile`` of every line of Keras takes where no optimizer is named."""

AnyOptimizer: TypeAlias = Optimizer | LossScaleOptimizer

LOSS_SCALE_OPTIMIZERS = ("LossScaleOptimizer", "LossScaleOptimizerV1", "LossScaleOptimizerV3")
"""Class names that Keras reads as a LossScaleOptimizer: it never returns the V1 class here."""

_NAMES = {name.lower(): name for name in OPTIMIZERS}


def get(identifier: Any, conventions: Conventions = TF24) -> AnyOptimizer:
    """Read an optimizer: a name in any case ("adam"), a serialized dict of Keras 2 or 3, or an Optimizer.

    Raises:
        Unsupported: an unknown name or class.
        InvalidValue: not an identifier.
    """
    if isinstance(identifier, Optimizer | LossScaleOptimizer):
        return identifier
    if isinstance(identifier, str):
        return deserialize({"class_name": identifier, "config": {}}, conventions)
    if isinstance(identifier, Mapping):
        return deserialize(identifier, conventions)
    raise refuse("optimizer", "the name of an optimizer or a serialized optimizer", identifier)


def deserialize(config: Mapping[str, Any], conventions: Conventions = TF24) -> AnyOptimizer:
    """Return the optimizer that ``{"class_name", "config"}`` describes, or the wrapper with the one inside it."""
    class_name, inner = split_serialized("optimizer", config)
    if class_name in LOSS_SCALE_OPTIMIZERS:
        return _scaled(inner, conventions)
    cls: type[Optimizer] = choose("optimizer", OPTIMIZERS, _NAMES.get(class_name.lower(), class_name))
    try:
        return cls.from_config(inner, conventions=conventions)
    except EngineError as error:
        raise error.at("config") from None


def _scaled(config: Mapping[str, Any], conventions: Conventions) -> LossScaleOptimizer:
    wrapper = Keras3LossScaleOptimizer if conventions.keras3 else LossScaleOptimizer
    try:
        return wrapper.from_config(dict(config), lambda item: get(item, conventions))
    except EngineError as error:
        raise error.at("config") from None


def serialize(optimizer: AnyOptimizer, conventions: Conventions | None = None) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of an optimizer, in the spelling of its line of Keras."""
    line = conventions or optimizer.conventions
    short = {"class_name": optimizer.class_name, "config": optimizer.get_config(line)}
    return {"module": "keras.optimizers", **short, "registered_name": None} if line.keras3 else short
