"""The loss-scaling wrappers of tf_keras and Keras 3, with their errors.

Source: ``LossScaleOptimizerV3`` in ``tf_keras.src.mixed_precision.loss_scale_optimizer`` of tf_keras 2.21, and
``keras.src.optimizers.loss_scale_optimizer`` of Keras 3.15.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Self

from engine import keras_config, scaler_rules
from engine.conventions import KERAS3, Conventions
from engine.errors import InvalidType, InvalidValue, located
from engine.optimizers.base import Optimizer
from engine.optimizers.loss_scale_optimizer import (
    DEFAULT_GROWTH_STEPS,
    DEFAULT_SCALE,
    LossScaleOptimizer,
    ReadOptimizer,
)
from engine.scaler import ScalerRule


@dataclass(frozen=True)
class LossScaleOptimizerV3(LossScaleOptimizer):
    """tf_keras's wrapper of its newer optimizers; those of TF 2.4, its legacy ones, go into ``LossScaleOptimizer``.

    Raises:
        InvalidType: as ``LossScaleOptimizer``, or the inner optimizer is a legacy one.
        InvalidValue: as ``LossScaleOptimizer``.
    """

    class_name: ClassVar[str] = "LossScaleOptimizerV3"

    def __post_init__(self) -> None:
        inner = self.inner_optimizer
        if isinstance(inner, Optimizer) and inner.is_legacy:
            raise InvalidType(
                "You passed a `tf.keras.optimizers.Optimizer` instance to LossScaleOptimizerV3, but only the new "
                "experimental optimizer defined in tf_keras/optimizer_expeirmental/optimizer.py can be passed. Please "
                "use `tf.keras.mixed_precision.LossScaleOptimizer` instead of LossScaleOptimizerV3, as the former "
                "supports `tf.keras.optimizers.Optimizer`s. Got optimizer: "
                f"<tf_keras.src.optimizers.legacy.{_LEGACY_MODULES[inner.class_name]}.{inner.class_name} object at "
                f"{id(inner):#x}>",
                code="legacy_optimizer",
                path=("inner_optimizer",),
            )
        super().__post_init__()

    @classmethod
    def from_config(cls, config: Any, read: ReadOptimizer) -> Self:
        """Make an optimizer of what ``get_config`` returned; this class reads no form of TF 2.3."""
        arguments = keras_config.as_dict(cls.class_name, config)
        inner = keras_config.taken(arguments, "inner_optimizer")
        optional = ("dynamic", "initial_scale", "dynamic_growth_steps")
        with located("inner_optimizer"):
            arguments["inner_optimizer"] = read(inner)
        return cls(
            **keras_config.check_arguments(cls.class_name, arguments, required=("inner_optimizer",), optional=optional)
        )


_LEGACY_MODULES: Mapping[str, str] = MappingProxyType(
    {
        "Adadelta": "adadelta",
        "Adagrad": "adagrad",
        "Adam": "adam",
        "Adamax": "adamax",
        "Ftrl": "ftrl",
        "Nadam": "nadam",
        "RMSprop": "rmsprop",
        "SGD": "gradient_descent",
    }
)

_IDLE: Mapping[str, Any] = MappingProxyType(
    {
        "weight_decay": None,
        "clipnorm": None,
        "global_clipnorm": None,
        "clipvalue": None,
        "use_ema": False,
        "ema_momentum": 0.99,
        "ema_overwrite_frequency": None,
        "loss_scale_factor": None,
        "gradient_accumulation_steps": None,
    }
)
"""Settings that earlier releases of Keras 3 wrote for the wrapper, with the only values they may have."""


@dataclass(frozen=True, init=False)
class Keras3LossScaleOptimizer(LossScaleOptimizer):
    """``keras.optimizers.LossScaleOptimizer``: always dynamic, and nothing is converted or checked before its use.

    Args:
        inner_optimizer: what updates the variables; its own ``loss_scale_factor`` is switched off.
        initial_scale: the scale of the first step.
        dynamic_growth_steps: how many finite steps in a row double the scale.
        name: shown in configs.
        others: settings of the base class that must have their defaults.

    Raises:
        InvalidType: the inner optimizer is none, or already scales its loss.
        InvalidValue: another setting, or one of the inner optimizer.
    """

    given_name: str = "loss_scale_optimizer"
    class_name: ClassVar[str] = "LossScaleOptimizer"

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: Any = DEFAULT_SCALE,
        dynamic_growth_steps: Any = DEFAULT_GROWTH_STEPS,
        name: str | None = None,
        **others: Any,
    ) -> None:
        _check_others(others)
        if not isinstance(inner_optimizer, Optimizer):
            raise InvalidType(
                f"`inner_optimizer` must be an optimizer that does not scale its loss, but got: {inner_optimizer!r}",
                path=("inner_optimizer",),
                original="AttributeError",
            )
        inner = dataclasses.replace(inner_optimizer, loss_scale_factor=None)
        object.__setattr__(self, "inner_optimizer", inner)
        object.__setattr__(self, "dynamic", True)
        object.__setattr__(self, "initial_scale", initial_scale)
        object.__setattr__(self, "dynamic_growth_steps", dynamic_growth_steps)
        object.__setattr__(self, "given_name", name or "loss_scale_optimizer")

    @property
    def name(self) -> str:
        """The name of the wrapper."""
        return self.given_name

    @cached_property
    def rule(self) -> ScalerRule:
        """How the loss is scaled.

        Raises:
            InvalidType: the scale or the number of steps is no number, which Keras notices here too.
            InvalidValue: a scale beyond every float32.
        """
        for key in ("initial_scale", "dynamic_growth_steps"):
            value = getattr(self, key)
            if not isinstance(value, int | float):
                raise InvalidType(f"`{key}` must be a number, but got: {value!r}", path=(key,))
        with located("initial_scale"):
            return scaler_rules.keras3(float(self.initial_scale), self.dynamic_growth_steps or 0)

    def get_config(self, conventions: Conventions | None = None) -> dict[str, Any]:
        """Return the config in Keras 3's form."""
        inner = self.inner_optimizer
        return {
            "name": self.name,
            "inner_optimizer": {
                "module": "keras.optimizers",
                "class_name": inner.class_name,
                "config": inner.get_config(conventions or KERAS3),
                "registered_name": None,
            },
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: Any, read: ReadOptimizer) -> Self:
        """Make an optimizer of what ``get_config`` returned; forms of Keras 2 are refused, as in Keras 3."""
        arguments = keras_config.as_dict(cls.class_name, config)
        inner = keras_config.taken(arguments, "inner_optimizer")
        with located("inner_optimizer"):
            arguments["inner_optimizer"] = read(inner)
        return cls(**arguments)


def _check_others(others: dict[str, Any]) -> None:
    if not others.pop("dynamic", True):
        raise InvalidValue(
            "LossScaleOptimizer no longer supports `dynamic=False`. Instead, simply set `loss_scale_factor` directly "
            "on the `inner_optimizer`.",
            code="fixed_scale",
            path=("dynamic",),
        )
    for key, idle in _IDLE.items():
        if key in others and others.pop(key) != idle:
            raise InvalidValue(
                f"LossScaleOptimizer does not support `{key}`. Instead, set `{key}` on the `inner_optimizer`.",
                code="setting_of_inner_optimizer",
                path=(key,),
            )
    if others:
        raise InvalidValue(
            f"LossScaleOptimizer does not support arguments: `{'`, `'.join(others)}`.",
            code="unexpected_argument",
            path=(next(iter(others)),),
        )
