"""The lines of Keras by name, and which of them wrote a value that does not say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, get_args

from engine.dtype_policy import CLASSES

Dialect: TypeAlias = Literal["tf2.4", "tf2.3", "tf_keras", "keras3"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
DEFAULT: Dialect = "tf2.4"

_KERAS3_POLICIES = frozenset({*CLASSES, "DTypePolicyMap"})
_V1 = "LossScaleOptimizerV1"
_TF_KERAS_ONLY = ("is_legacy_optimizer", "jit_compile")


def dialect_of_policy(value: object) -> Dialect:
    """Return who wrote a serialized policy: only its class or its module tells; all else is TF 2.4's."""
    if not isinstance(value, Mapping):
        return DEFAULT
    if is_keras3_policy_class(value.get("class_name")):
        return "keras3"
    return "tf_keras" if value.get("module") == "keras.mixed_precision" else DEFAULT


def is_keras3_policy_class(name: object) -> bool:
    """Whether only Keras 3 has a class of policies by that name."""
    return isinstance(name, str) and name in _KERAS3_POLICIES


def dialect_of_optimizer(value: object) -> Dialect:
    """Return who wrote a serialized optimizer: Keras 2 printed no module, and tf_keras settings of its own.

    A wrapper is of the line that its inner optimizer is of.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("module"), str) or value.get("class_name") == _V1:
        return DEFAULT
    return "tf_keras" if _is_tf_keras(value) else "keras3"


def _is_tf_keras(value: Mapping[str, Any]) -> bool:
    module, config = value.get("module"), value.get("config")
    if isinstance(module, str) and (module.startswith("tf_keras") or module.endswith(".legacy")):
        return True
    if value.get("class_name") == "LossScaleOptimizerV3":
        return True
    if not isinstance(config, Mapping):
        return False
    inner = config.get("inner_optimizer")
    return any(key in config for key in _TF_KERAS_ONLY) or (isinstance(inner, Mapping) and _is_tf_keras(inner))


def chosen(given: Any, key: str, detect: Callable[[object], Dialect]) -> Dialect:
    """Return the dialect that a request names, or the one that its value shows.

    Args:
        given: the request, which has a field `dialect`.
        key: of the field that holds the value.
        detect: tells the dialect of a value.
    """
    if "dialect" in given.model_fields_set:
        named: Dialect = given.dialect
        return named
    return detect(getattr(given, key))
