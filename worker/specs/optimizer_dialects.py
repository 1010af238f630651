"""How each line of Keras reads and writes optimizers, those that scale the loss above all: one record per line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from engine.conventions import TF24
from engine.errors import InvalidValue
from engine.loss_scale import DynamicLossScale, FixedLossScale, LossScale
from engine.optimizers.base import Optimizer
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.serialization import keras3_optimizers, tf23_optimizers, tf24_optimizers, tf_keras_optimizers
from engine.serialization.left_behind import by_keras3, by_tf24
from engine.serialization.tf23_optimizers import ExperimentalLossScaleOptimizer
from worker.specs.dialects import Dialect

AnyOptimizer: TypeAlias = Optimizer | LossScaleOptimizer | ExperimentalLossScaleOptimizer


@dataclass(frozen=True)
class OptimizerDialect:
    """Optimizers of one line of Keras.

    Attributes:
        read: a name or a serialized optimizer.
        deserialize: what `serialize` wrote, as that line does.
        serialize: writes an optimizer.
        leaves: what it leaves of a dict that it was given to read.
    """

    read: Callable[[Any], Any]
    deserialize: Callable[[Any], Any]
    serialize: Callable[[Any], dict[str, Any]]
    leaves: Callable[[Any], Any]


def _serialize_tf24(optimizer: Optimizer | LossScaleOptimizer) -> dict[str, Any]:
    return {"class_name": optimizer.class_name, "config": optimizer.get_config(TF24)}


def _read_keras3(value: Any) -> Any:
    if isinstance(value, str):
        return keras3_optimizers.deserialize_optimizer({"class_name": value, "config": {}})
    if not isinstance(value, dict):
        text = f"Could not interpret optimizer identifier: {value}"
        raise InvalidValue(text, code="unknown_optimizer")
    return keras3_optimizers.deserialize_optimizer(value)


def _alone(config: Any) -> Any:
    """Of TF 2.3 and tf_keras it was not recorded what they leave."""
    return config


OPTIMIZER_DIALECTS: Mapping[Dialect, OptimizerDialect] = MappingProxyType(
    {
        "tf2.4": OptimizerDialect(
            tf24_optimizers.get_optimizer, tf24_optimizers.deserialize_optimizer, _serialize_tf24, by_tf24
        ),
        "tf2.3": OptimizerDialect(
            tf23_optimizers.get_optimizer,
            tf23_optimizers.deserialize_optimizer,
            tf23_optimizers.serialize_optimizer,
            _alone,
        ),
        "tf_keras": OptimizerDialect(
            tf_keras_optimizers.get_optimizer,
            tf_keras_optimizers.deserialize_optimizer,
            tf_keras_optimizers.serialize_optimizer,
            _alone,
        ),
        "keras3": OptimizerDialect(
            _read_keras3, keras3_optimizers.deserialize_optimizer, keras3_optimizers.serialize_optimizer, by_keras3
        ),
    }
)
"""Every line of Keras by name."""


def wraps(optimizer: AnyOptimizer) -> bool:
    """Whether there is another optimizer inside."""
    return isinstance(optimizer, LossScaleOptimizer | ExperimentalLossScaleOptimizer)


def loss_scale_of(optimizer: AnyOptimizer) -> LossScale | None:
    """Return how an optimizer scales the loss, in TF's words; None where it does not.

    Raises:
        InvalidValue, InvalidType: the scale is none that TF can say, such as a fixed one below 1.
    """
    if isinstance(optimizer, ExperimentalLossScaleOptimizer):
        return optimizer.loss_scale
    if isinstance(optimizer, LossScaleOptimizer):
        steps = optimizer.dynamic_growth_steps
        scale = optimizer.initial_scale
        return DynamicLossScale(scale, steps) if optimizer.dynamic and steps is not None else FixedLossScale(scale)
    return None if optimizer.loss_scale_factor is None else FixedLossScale(optimizer.loss_scale_factor)
