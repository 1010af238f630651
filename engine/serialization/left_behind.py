"""What the originals leave of a config that was handed to them: some change the caller's own dict while they read it.

Nothing here changes what it is given; these functions tell what TensorFlow 2.4 and Keras 3 would have left of it, so
that whoever reads the same dict twice there can be warned.
Source: ``optimizers.deserialize`` and ``OptimizerV2.from_config`` of TF 2.4 (class names lowered, ``lr`` renamed),
``optimizers.deserialize`` and ``LossScaleOptimizer.from_config`` of Keras 3.15 (the inner optimizer is taken out).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from engine.errors import EngineError
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.serialization import keras3_optimizers
from engine.serialization.tf24_optimizers import BUILTIN, deserialize_optimizer

_KEYS = ("inner_optimizer", "optimizer")
_WRAPPERS = ("lossscaleoptimizer", "lossscaleoptimizerv1")


def by_tf24_wrapper(cls: type[LossScaleOptimizer], config: Any) -> Any:
    """Return what TF 2.4 leaves of the config of a wrapper, whether it then takes or refuses it.

    Args:
        cls: LossScaleOptimizer or its V1, which look at their settings in different order.
        config: what is given to ``from_config``; it is not changed.
    """
    reached: list[Any] = []

    def read(inner: Any) -> Any:
        reached.append(inner)
        return deserialize_optimizer(inner)

    with suppress(EngineError):
        cls.from_config(config, read)
    if not reached or not isinstance(config, dict):
        return config
    return {key: by_tf24(item) if key in _KEYS and item is reached[0] else item for key, item in config.items()}


def by_tf24(config: Any) -> Any:
    """Return what ``optimizers.deserialize`` of TF 2.4 leaves of a serialized optimizer."""
    name = config.get("class_name") if isinstance(config, dict) else None
    if not isinstance(name, str) or name.lower() not in (*BUILTIN, *_WRAPPERS):
        return config
    left = {**config, "class_name": name.lower()}
    inner = config.get("config")
    if name.lower() in _WRAPPERS:
        return {**left, "config": by_tf24_wrapper(LossScaleOptimizer, inner)} if "config" in config else left
    if isinstance(inner, dict) and "lr" in inner:
        left["config"] = {**{key: item for key, item in inner.items() if key != "lr"}, "learning_rate": inner["lr"]}
    return left


def by_keras3_wrapper(config: Any) -> Any:
    """Return what ``LossScaleOptimizer.from_config`` of Keras 3 leaves of its config."""
    if not isinstance(config, dict):
        return config
    return {key: item for key, item in config.items() if key != "inner_optimizer"}


def by_keras3(config: Any) -> Any:
    """Return what ``optimizers.deserialize`` of Keras 3 leaves of a serialized optimizer."""
    name = config.get("class_name") if isinstance(config, dict) else None
    if not isinstance(name, str) or name.lower() not in keras3_optimizers.NAMES:
        return config
    left = {**config, "class_name": name.lower()}
    if name.lower() == "lossscaleoptimizer" and "config" in config:
        left["config"] = by_keras3_wrapper(config["config"])
    return left
