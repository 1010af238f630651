"""Optimizers in the dialect of tf_keras 2.21, with its errors: newer ones, and those of TF 2.4 as legacy ones.

Source: ``serialize`` and ``deserialize`` in ``tf_keras.src.optimizers``, and
``tf_keras.src.mixed_precision.loss_scale_optimizer``, of tf_keras 2.21.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from engine import loss_scale
from engine.conventions import TF_KERAS
from engine.errors import InvalidType, InvalidValue, Unsupported, located
from engine.optimizers import OPTIMIZERS
from engine.optimizers.base import Optimizer
from engine.optimizers.later_loss_scale_optimizers import LossScaleOptimizerV3
from engine.optimizers.loss_scale_optimizer import NEITHER_FIXED_NOR_DYNAMIC, LossScaleOptimizer
from engine.policy import Policy
from engine.serialization.tf24_optimizers import AnyOptimizer, read_builtin

_LEGACY_NAMES = ("Adadelta", "Adagrad", "Adam", "Adamax", "Ftrl", "Nadam", "RMSprop", "SGD")
_NAMES = (*_LEGACY_NAMES, "AdamW")
_EXPERIMENTAL = ("Adadelta", "Adagrad", "Adam", "SGD")
_WRAPPERS = "tf_keras.src.mixed_precision.loss_scale_optimizer"


def wrapped(inner: Any, **arguments: Any) -> LossScaleOptimizer:
    """Return what calling ``tf_keras.mixed_precision.LossScaleOptimizer`` makes: the class that suits the optimizer.

    Raises:
        InvalidType: no optimizer, or what the class refuses.
        InvalidValue: what the class refuses.
    """
    if not isinstance(inner, Optimizer):
        raise InvalidType(
            '"inner_optimizer" must be an instance of `tf.keras.optimizers.Optimizer` or '
            f"`tf.keras.optimizers.experimental.Optimizer`, but got: {inner}.",
            path=("inner_optimizer",),
        )
    return (LossScaleOptimizer if inner.is_legacy else LossScaleOptimizerV3)(inner, **arguments)


def serialize_optimizer(optimizer: AnyOptimizer) -> dict[str, Any]:
    """Return the four-key dict that tf_keras writes; its wrappers are no public classes, which their module shows."""
    if isinstance(optimizer, LossScaleOptimizer):
        name = optimizer.class_name
        config = wrapper_config(optimizer)
        return {"module": _WRAPPERS, "class_name": name, "config": config, "registered_name": name}
    module = "keras.optimizers.legacy" if optimizer.is_legacy else "keras.optimizers"
    config = optimizer.get_config(optimizer.conventions)
    return {"module": module, "class_name": optimizer.class_name, "config": config, "registered_name": None}


def wrapper_config(optimizer: LossScaleOptimizer) -> dict[str, Any]:
    """Return what ``get_config`` of a wrapper returns."""
    return {**optimizer.get_config(), "inner_optimizer": serialize_optimizer(optimizer.inner_optimizer)}


def get_optimizer(identifier: Any) -> AnyOptimizer:
    """Return the optimizer that a user may mean: a name in any case, a serialized optimizer, or an optimizer.

    Raises:
        InvalidValue, InvalidType: anything else, or what its class refuses.
    """
    if isinstance(identifier, Optimizer | LossScaleOptimizer):
        return identifier
    if isinstance(identifier, str):
        return deserialize_optimizer({"class_name": identifier, "config": {}})
    if isinstance(identifier, dict):
        return deserialize_optimizer(identifier)
    raise InvalidValue(f"Could not interpret optimizer identifier: {identifier}", code="unknown_optimizer")


def deserialize_optimizer(config: Any, *, legacy: bool = False) -> AnyOptimizer:
    """Return the optimizer of a dict with a class name and a config; class names may be in any case.

    Args:
        config: what this or an earlier Keras wrote; it is not changed.
        legacy: whether an empty config means one of TF 2.4's optimizers. One that is not empty does, unless it says
            ``is_legacy_optimizer: false``.

    Raises:
        InvalidType, InvalidValue: no such dict, an unknown class, or what the class refuses.
        Unsupported: an optimizer of tf_keras that this engine lacks.
    """
    name, inner = _parts(config)
    if inner:
        legacy = bool(inner.get("is_legacy_optimizer", True))
    readers = _LEGACY_READERS if legacy else _NEW_READERS
    if name.lower() not in readers:
        raise InvalidValue(f"Unknown optimizer: {name}. tf_keras has {', '.join(_NAMES)}.", code="unknown_optimizer")
    with located("config"):
        return readers[name.lower()](inner)


def read_wrapper(class_name: str, config: Any) -> LossScaleOptimizer:
    """Return the wrapper that the ``from_config`` of a class makes.

    Raises:
        InvalidType, InvalidValue: what the class refuses.
    """
    if class_name == LossScaleOptimizerV3.class_name:
        return LossScaleOptimizerV3.from_config(config, deserialize_optimizer)
    if isinstance(config, dict) and "loss_scale" in config:
        _check_loss_scale(config["loss_scale"])
    read = LossScaleOptimizer.from_config(config, partial(deserialize_optimizer, legacy=True))
    if not read.inner_optimizer.is_legacy:
        raise InvalidType(
            "You passed an instance of the new experimental optimizer, `optimizer.Optimizer`, to LossScaleOptimizer, "
            "but only the classic optimizers subclassing from `tf.keras.optimizers.Optimizer` can be passed. Please "
            "use `loss_scale_optimizer.LossScaleOptimizerV3` instead of "
            "`tf.keras.mixed_precision.LossScaleOptimizer`, as the former supports wrapping instances of the new "
            f"experimental optimizer. Got optimizer: {read.inner_optimizer}",
            code="new_optimizer",
            path=("inner_optimizer",),
        )
    return read


def _check_loss_scale(value: Any) -> None:
    """Refuse what tf_keras cannot read as a loss scale and hands back: names, numbers, unknown classes."""
    name = value.get("class_name") if isinstance(value, dict) else value
    if not isinstance(name, str) or name not in loss_scale.READERS:
        raise InvalidValue(NEITHER_FIXED_NOR_DYNAMIC, code="unknown_loss_scale", path=("loss_scale",))


def compiled(identifier: Any, policy: Policy) -> AnyOptimizer:
    """Return the optimizer that a model with a policy trains with: wrapped iff the policy is "mixed_float16"."""
    optimizer = get_optimizer(identifier)
    if policy.name != "mixed_float16" or isinstance(optimizer, LossScaleOptimizer):
        return optimizer
    return wrapped(optimizer)


def _parts(config: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(config, dict):
        raise InvalidType(f"A serialized optimizer must be a dict, but got: {config!r}", code="not_a_dict")
    for key in ("config", "class_name"):
        if key not in config:
            raise InvalidType(f"A serialized optimizer needs a {key}: {config!r}", original="KeyError")
    name, inner = config["class_name"], config["config"]
    if not isinstance(name, str):
        raise InvalidType(f"A class_name must be a string, but got: {name!r}", original="AttributeError")
    if not isinstance(inner, dict):
        raise InvalidType(f"A config must be a dict, but got: {inner!r}", path=("config",))
    if config.get("module", "keras") is None:
        raise InvalidType(
            f"Cannot deserialize object of type `{name}`. If `{name}` is a custom class, please register it using the "
            "`@keras.saving.register_keras_serializable()` decorator.",
            code="unknown_optimizer",
            path=("module",),
        )
    return name, inner


def _read_new(name: str, config: dict[str, Any]) -> Optimizer:
    if name not in OPTIMIZERS:
        raise Unsupported(f"Optimizer {name} of tf_keras is not supported; use one of {', '.join(OPTIMIZERS)}.")
    return OPTIMIZERS[name].from_config(config, conventions=TF_KERAS)


_Readers = Mapping[str, Callable[[dict[str, Any]], AnyOptimizer]]
_SHARED: _Readers = {
    **{f"experimental{name.lower()}": partial(_read_new, name) for name in _EXPERIMENTAL},
    "lossscaleoptimizerv1": partial(read_wrapper, "LossScaleOptimizer"),
    "lossscaleoptimizerv3": partial(read_wrapper, "LossScaleOptimizerV3"),
}
_NEW_READERS: _Readers = MappingProxyType(
    {
        **_SHARED,
        **{name.lower(): partial(_read_new, name) for name in _NAMES},
        "lossscaleoptimizer": partial(read_wrapper, "LossScaleOptimizerV3"),
    }
)
_LEGACY_READERS: _Readers = MappingProxyType(
    {
        **_SHARED,
        **{name.lower(): partial(read_builtin, name) for name in _LEGACY_NAMES},
        "lossscaleoptimizer": partial(read_wrapper, "LossScaleOptimizer"),
    }
)
