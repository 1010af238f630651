"""What TF 2.4 calls hyperparameters: the numbers of an optimizer that its loss-scaling wrapper passes on.

Other settings, such as Adam's epsilon, are not reached through the wrapper.
Source: ``_set_hyper`` in ``tensorflow.python.keras.optimizer_v2``, and ``__getattribute__`` and ``__setattr__`` of
``LossScaleOptimizer`` of TF 2.4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.errors import InvalidType
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.scaler import float32
from engine.schedules import Schedule

_EVERY = ("learning_rate", "decay")
_OWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Adadelta": ("rho",),
        "Adam": ("beta_1", "beta_2"),
        "Adamax": ("beta_1", "beta_2"),
        "Ftrl": ("learning_rate_power", "l1_regularization_strength", "l2_regularization_strength", "beta"),
        "Nadam": ("beta_1", "beta_2"),
        "RMSprop": ("rho", "momentum"),
        "SGD": ("momentum",),
    }
)
_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
_READ_ONLY = ("loss_scale", "dynamic", "dynamic_counter", "initial_scale", "dynamic_growth_steps", "inner_optimizer")
_ALIASES = {"lr": "learning_rate"}


def hyperparameter(optimizer: LossScaleOptimizer, name: str) -> Any:
    """Return a number of the inner optimizer as its wrapper shows it, rounded to float32; a schedule as it is.

    Raises:
        InvalidType: the wrapper passes nothing of that name on.
    """
    found = _ALIASES.get(name, name)
    if found in _CLIPS:
        return getattr(optimizer.inner_optimizer, found)
    if found not in _names(optimizer):
        raise InvalidType(
            f"'LossScaleOptimizer' object has no attribute '{name}'; ask its inner optimizer.",
            code="unknown_attribute",
            original="AttributeError",
        )
    value = getattr(optimizer.inner_optimizer, found)
    return value if isinstance(value, Schedule) else float32(value)


def with_hyperparameter(optimizer: LossScaleOptimizer, name: str, value: Any) -> LossScaleOptimizer:
    """Return the wrapper around an inner optimizer with another number.

    Raises:
        InvalidType: the setting is the wrapper's own, which never changes, or nothing that it passes on.
        InvalidValue: the inner optimizer refuses the number.
    """
    found = _ALIASES.get(name, name)
    if found not in (*_names(optimizer), *_CLIPS):
        own = "can't set attribute" if found in _READ_ONLY else f"The wrapper does not pass {name!r} on; make another."
        raise InvalidType(own, code="read_only", path=(name,), original="AttributeError")
    inner = dataclasses.replace(optimizer.inner_optimizer, **{found: value})
    return dataclasses.replace(optimizer, inner_optimizer=inner)


def _names(optimizer: LossScaleOptimizer) -> tuple[str, ...]:
    return (*_EVERY, *_OWN.get(optimizer.inner_optimizer.class_name, ()))
