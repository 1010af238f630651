"""Optimizers in the dialect of TF 2.3, whose wrapper holds its optimizer and a loss scale.

Source: ``tensorflow.python.keras.mixed_precision.experimental.loss_scale_optimizer`` of TF 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from engine import keras_config, loss_scale
from engine.conventions import TF24
from engine.errors import InvalidValue, located
from engine.keras_config import Reader
from engine.loss_scale import LossScale
from engine.optimizers.base import Optimizer
from engine.serialization.tf24_optimizers import BUILTIN, read_named


@dataclass(frozen=True)
class ExperimentalLossScaleOptimizer:
    """``tf.keras.mixed_precision.experimental.LossScaleOptimizer`` as it was in TF 2.3, with any multiplier.

    Args:
        optimizer: what updates the variables.
        loss_scale: how their gradients are scaled.

    Raises:
        InvalidValue: the optimizer is none, or already scales its loss; or there is no loss scale.
    """

    optimizer: Optimizer
    loss_scale: LossScale
    class_name: ClassVar[str] = "LossScaleOptimizer"

    def __post_init__(self) -> None:
        _check_optimizer(self.optimizer)
        _check_loss_scale(self.loss_scale)

    def get_config(self) -> dict[str, Any]:
        """Return the config in TF 2.3's form."""
        inner = {"class_name": self.optimizer.class_name, "config": self.optimizer.get_config(TF24)}
        return {"optimizer": inner, "loss_scale": loss_scale.serialize(self.loss_scale)}

    @classmethod
    def from_config(cls, config: Any) -> ExperimentalLossScaleOptimizer:
        """Make an optimizer of what ``get_config`` returned.

        Raises:
            InvalidType, InvalidValue: a key is missing or too many, or a value is not accepted.
        """
        arguments = keras_config.as_dict(cls.class_name, config)
        for key, read in (("optimizer", deserialize_optimizer), ("loss_scale", loss_scale.deserialize)):
            value = keras_config.taken(arguments, key)
            with located(key):
                arguments[key] = read(value)
        return cls(
            **keras_config.check_arguments(cls.class_name, arguments, required=("optimizer", "loss_scale")),
        )


def _check_optimizer(optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        text = f'"optimizer" must be an instance of OptimizerV2, but got: {optimizer}'
        raise InvalidValue(text, path=("optimizer",))


def _check_loss_scale(scale: Any) -> None:
    if scale is None:
        raise InvalidValue("loss_scale cannot be None.", path=("loss_scale",))


AnyOptimizer: TypeAlias = Optimizer | ExperimentalLossScaleOptimizer


def serialize_optimizer(optimizer: AnyOptimizer) -> dict[str, Any]:
    """Return the ``{"class_name", "config"}`` that TF 2.3 writes."""
    if isinstance(optimizer, ExperimentalLossScaleOptimizer):
        return {"class_name": optimizer.class_name, "config": optimizer.get_config()}
    return {"class_name": optimizer.class_name, "config": optimizer.get_config(TF24)}


def get_optimizer(identifier: Any) -> AnyOptimizer:
    """Return the optimizer that a user may mean: a name in any case, or a serialized optimizer.

    Raises:
        InvalidValue, InvalidType: anything else, or what its class refuses.
        Unsupported: an optimizer of TF 2.3 that this engine lacks.
    """
    if isinstance(identifier, str):
        return deserialize_optimizer({"class_name": identifier, "config": {}})
    if isinstance(identifier, dict):
        return deserialize_optimizer(identifier)
    raise InvalidValue(f"Could not interpret optimizer identifier: {identifier}", code="unknown_optimizer")


def deserialize_optimizer(config: Any) -> AnyOptimizer:
    """Return the optimizer of ``{"class_name", "config"}``; class names may be in any case.

    Raises:
        InvalidValue, InvalidType: no such dict, an unknown class, or what the class refuses.
        Unsupported: an optimizer of TF 2.3 that this engine lacks.
    """
    return read_named(config, _READERS)


_READERS: Mapping[str, Reader[AnyOptimizer]] = MappingProxyType(
    {**BUILTIN, "lossscaleoptimizer": ExperimentalLossScaleOptimizer.from_config}
)
