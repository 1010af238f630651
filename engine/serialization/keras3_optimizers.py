"""Optimizers in the dialect of Keras 3, with its errors.

Where Keras hands back the name of a class that it does not know, as if it were an optimizer, this reader refuses.
Source: ``deserialize`` in ``keras.src.optimizers`` and ``keras.src.saving.serialization_lib`` of Keras 3.15.
"""

from __future__ import annotations

from typing import Any

from engine.conventions import KERAS3
from engine.errors import EngineError, InvalidType, InvalidValue, located
from engine.optimizers import OPTIMIZERS
from engine.optimizers.base import Optimizer
from engine.optimizers.later_loss_scale_optimizers import Keras3LossScaleOptimizer
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer

_NAMES = {name.lower(): name for name in OPTIMIZERS}
_WRAPPER = Keras3LossScaleOptimizer.class_name
NAMES = frozenset({*_NAMES, _WRAPPER.lower()})
"""Of every optimizer here, in lower case."""
_MODULES = ("keras", "keras.optimizers", "keras.src.optimizers")
_OWN_MODULES = ("keras.src.optimizers.{}", "keras.src.backend.torch.optimizers.torch_{}")
"""Where each class lies; Keras on the torch backend writes the last form, which it reads on every backend."""


def serialize_optimizer(optimizer: Optimizer | LossScaleOptimizer) -> dict[str, Any]:
    """Return the four-key dict that Keras 3 writes."""
    config = optimizer.get_config(KERAS3)
    return {
        "module": "keras.optimizers",
        "class_name": optimizer.class_name,
        "config": config,
        "registered_name": None,
    }


def deserialize_optimizer(config: Any) -> Optimizer | LossScaleOptimizer:
    """Return the optimizer of a dict with a class name and a config; class names may be in any case.

    Args:
        config: the four-key dict; "module" and "registered_name" may be missing. It is not changed.

    Raises:
        InvalidType, InvalidValue: no such dict, an unknown class, or what the class refuses.
    """
    if not isinstance(config, dict):
        raise InvalidType(f"A serialized optimizer must be a dict, but got: {config!r}", code="not_a_dict")
    if "class_name" not in config:
        raise InvalidType(f"A serialized optimizer needs a class_name: {config!r}", original="KeyError")
    name = config["class_name"]
    if not isinstance(name, str):
        raise InvalidType(f"A class_name must be a string, but got: {name!r}", original="AttributeError")
    if config.get("module", "keras") is None:
        raise InvalidType(
            f"Cannot deserialize object of type `{name}`. If `{name}` is a custom class, please register it using the "
            "`@keras.saving.register_keras_serializable()` decorator.",
            code="unknown_optimizer",
            path=("module",),
        )
    inner = config.get("config") or {}
    with located("config"):
        if name.lower() != _WRAPPER.lower():
            return _built(_NAMES.get(name.lower(), name), inner)
        return _read_wrapper(inner)


def _read_wrapper(config: Any) -> Keras3LossScaleOptimizer:
    try:
        return read_wrapper(config)
    except EngineError as error:
        if error.original != "TypeError":
            raise
        # Keras puts this text around every TypeError; the reason follows on later lines.
        text = (
            "<class 'keras.src.optimizers.loss_scale_optimizer.LossScaleOptimizer'> could not be deserialized "
            "properly. Please ensure that components that are Python object instances (layers, models, etc.) returned "
            "by `get_config()` are explicitly deserialized in the model's `from_config()` method."
        )
        raise InvalidType(f"{text}\n\n{error.message}", code=error.code, path=error.path) from error


def read_wrapper(config: Any) -> Keras3LossScaleOptimizer:
    """Return the wrapper that ``LossScaleOptimizer.from_config`` makes.

    Raises:
        InvalidType, InvalidValue: forms of Keras 2, or what the class refuses.
    """
    return Keras3LossScaleOptimizer.from_config(config, _read_inner)


def _read_inner(config: Any) -> Any:
    """Read the inner optimizer, which must name its module: the forms of Keras 2 do not."""
    if not isinstance(config, dict) or not {"class_name", "config"} <= config.keys():
        return config  # the wrapper refuses it
    name = config["class_name"]
    if not _has_module(config.get("module"), name) or name not in (*OPTIMIZERS, _WRAPPER):
        raise InvalidType(
            f"Could not locate class '{name}'. Make sure custom classes are decorated with "
            f"`@keras.saving.register_keras_serializable()`. Full object config: {config}",
            code="unknown_optimizer",
            path=("module",),
        )
    with located("config"):
        inner = config["config"] or {}
        return _read_wrapper(inner) if name == _WRAPPER else _built(name, inner)


def _has_module(module: Any, name: Any) -> bool:
    return module in _MODULES or module in [form.format(str(name).lower()) for form in _OWN_MODULES]


def _built(name: Any, config: Any) -> Optimizer:
    if name not in OPTIMIZERS:
        raise InvalidValue(
            f"Unknown optimizer: {name}. Keras 3 has {', '.join([*OPTIMIZERS, _WRAPPER])}.",
            code="unknown_optimizer",
            original="AttributeError",  # of whoever then uses the name as an optimizer
        )
    if not isinstance(config, dict):
        raise InvalidType(f"A config must be a dict, but got: {config!r}", code="not_a_dict")
    return OPTIMIZERS[name].from_config(config, conventions=KERAS3)
