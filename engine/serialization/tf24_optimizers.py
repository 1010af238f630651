"""Optimizers in the dialect of TF 2.4, with its errors.

Source: ``deserialize`` and ``get`` in ``tensorflow.python.keras.optimizers`` of TF 2.4, and
``OptimizerV2.__init__``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from engine import keras_config
from engine.conventions import TF24
from engine.errors import InvalidType, InvalidValue, Unsupported
from engine.keras_config import Reader
from engine.optimizers import OPTIMIZERS
from engine.optimizers.base import Optimizer
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.optimizers.wrapping import wrap_for_policy
from engine.policy import Policy

T = TypeVar("T")
AnyOptimizer: TypeAlias = Optimizer | LossScaleOptimizer

_NAMES = ("Adadelta", "Adagrad", "Adam", "Adamax", "Nadam", "RMSprop", "SGD", "Ftrl")
_ALIASES = MappingProxyType({"lr": "learning_rate"})


def get_optimizer(identifier: Any) -> AnyOptimizer:
    """Return the optimizer that a user may mean: a name in any case, a serialized optimizer, or an optimizer.

    Raises:
        InvalidValue, InvalidType: anything else, or what its class refuses.
        Unsupported: an optimizer of TF 2.4 that this engine lacks.
    """
    if isinstance(identifier, Optimizer | LossScaleOptimizer):
        return identifier
    if isinstance(identifier, str):
        return deserialize_optimizer({"class_name": identifier, "config": {}})
    if isinstance(identifier, dict):
        return deserialize_optimizer(identifier)
    raise InvalidValue(f"Could not interpret optimizer identifier: {identifier}", code="unknown_optimizer")


def deserialize_optimizer(config: Any) -> AnyOptimizer:
    """Return the optimizer of ``{"class_name", "config"}``; class names of built-in ones may be in any case.

    A LossScaleOptimizerV1 comes back as a LossScaleOptimizer, as in TF.

    Raises:
        InvalidValue, InvalidType: no such dict, an unknown class, or what the class refuses.
        Unsupported: an optimizer of TF 2.4 that this engine lacks.
    """
    return read_named(config, _READERS)


def read_named(config: Any, readers: Mapping[str, Reader[T]]) -> T:
    """Return what one of the readers makes of ``{"class_name", "config"}``; their class names are in lower case.

    Raises:
        InvalidValue, InvalidType: no such dict, an unknown class, or what the reader refuses.
    """
    if not isinstance(config, dict):
        raise InvalidType(f"A serialized optimizer must be a dict, but got: {config!r}", code="not_a_dict")
    if "class_name" not in config:
        raise InvalidType(f"A serialized optimizer needs a class_name: {config!r}", original="KeyError")
    name = config["class_name"]
    if not isinstance(name, str):
        raise InvalidType(f"A class_name must be a string, but got: {name!r}", original="AttributeError")
    known = {**config, "class_name": name.lower()} if name.lower() in readers else config
    read = keras_config.deserialize(known, readers, "optimizer")
    assert read is not None, "only None reads as None"
    return read


def compiled(identifier: Any, policy: Policy) -> Any:
    """Return what ``Model.compile`` makes of an optimizer argument: read, and wrapped as the model's policy asks for.

    Args:
        identifier: what ``get_optimizer`` takes, or a list or dict of such, however deep. TF takes every dict for
            one of optimizers, so that it refuses a serialized optimizer here.
        policy: of the model.

    Raises:
        InvalidValue, InvalidType: as ``get_optimizer`` and ``wrap_for_policy``.
    """
    if isinstance(identifier, list):
        return [compiled(item, policy) for item in identifier]
    if isinstance(identifier, dict):
        return {key: compiled(identifier[key], policy) for key in sorted(identifier)}
    return wrap_for_policy(get_optimizer(identifier), policy)


def read_builtin(name: str, config: Any) -> Optimizer:
    """Return one of TF 2.4's optimizers; "lr" is "learning_rate".

    Raises:
        InvalidType, InvalidValue: a setting that it does not take.
        Unsupported: this engine lacks the optimizer.
    """
    if name not in OPTIMIZERS:
        raise Unsupported(f"Optimizer {name} of TF 2.4 is not supported; use one of {', '.join(OPTIMIZERS)}.")
    if not isinstance(config, dict):
        raise InvalidType(f"The config of a {name} must be a dict, but got: {config!r}", code="not_a_dict")
    cls = OPTIMIZERS[name]
    arguments = {_ALIASES.get(key, key): value for key, value in config.items()}
    accepted = {"clipnorm", "clipvalue", "global_clipnorm", *cls(conventions=TF24).get_config(TF24)}
    for key in arguments:
        if key not in accepted:
            raise InvalidType(
                f"Unexpected keyword argument passed to optimizer: {key}", code="unexpected_argument", path=(key,)
            )
    return cls.from_config(arguments, conventions=TF24)


def _read_loss_scale_optimizer(config: Any) -> LossScaleOptimizer:
    return LossScaleOptimizer.from_config(config, deserialize_optimizer)


BUILTIN: Mapping[str, Reader[Optimizer]] = MappingProxyType(
    {name.lower(): partial(read_builtin, name) for name in _NAMES}
)
"""How each optimizer of TF 2.4 reads its config, by its name in lower case."""
_READERS: Mapping[str, Reader[AnyOptimizer]] = MappingProxyType(
    {
        **BUILTIN,
        "lossscaleoptimizer": _read_loss_scale_optimizer,
        "lossscaleoptimizerv1": _read_loss_scale_optimizer,
    }
)
