"""Policies in the dialect of Keras 3.

Where Keras hands back a name or a number that it could not read, as if it were a policy, this reader refuses.
Source: ``keras.dtype_policies.get``, ``serialize`` and ``deserialize``, and ``keras.saving.serialization_lib``, of
Keras 3.15.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, TypeAlias

from engine.dtype_policy import CLASSES, FLOATX, DTypePolicy, FloatDTypePolicy, by_name
from engine.dtype_policy_map import DTypePolicyMap
from engine.errors import EngineError, InvalidType, InvalidValue, located
from engine.keras_config import check_arguments
from engine.serialization.reading import Read

AnyPolicy: TypeAlias = DTypePolicy | DTypePolicyMap
_PLAIN = (DTypePolicy, FloatDTypePolicy)
_ENVELOPE = ("module", "class_name", "config", "registered_name")
_MAP = "DTypePolicyMap"
UNKNOWN = "unknown_dtype_policy"
"""Code of a class that Keras does not know, and whose name it hands back as if it were a policy."""
_CLASS_TEXT = (
    " could not be deserialized properly. Please ensure that components that are Python object instances (layers, "
    "models, etc.) returned by `get_config()` are explicitly deserialized in the model's `from_config()` method."
)


def serialize_policy(policy: AnyPolicy) -> dict[str, Any]:
    """Return the four-key dict that Keras 3 writes; also for plain dtypes."""
    if isinstance(policy, DTypePolicyMap):
        return _enveloped("keras.dtype_policies", _MAP, _map_config(policy))
    module = "keras" if type(policy) in _PLAIN else "keras.dtype_policies"
    return _enveloped(module, type(policy).__name__, policy.get_config())


def get_policy(identifier: Any, global_name: str = FLOATX) -> AnyPolicy:
    """Return the policy that a user may mean: a name, a serialized policy, a policy, or None for the global one.

    Args:
        identifier: what to read; it is not changed.
        global_name: name of the global policy.

    Raises:
        InvalidValue, InvalidType: no policy, or a dict that ``deserialize_policy`` refuses.
    """
    if identifier is None:
        return by_name(global_name)
    if isinstance(identifier, DTypePolicy | DTypePolicyMap):
        return identifier
    if isinstance(identifier, dict):
        return deserialize_policy(identifier, global_name).value
    if isinstance(identifier, str):
        return by_name(identifier, global_name)
    raise InvalidValue(
        "Cannot interpret `dtype` argument. Expected a string or an instance of DTypePolicy. Received: "
        f"dtype={identifier}",
        code="not_a_policy",
    )


def set_policy(policy: Any) -> AnyPolicy:
    """Return what ``set_dtype_policy`` makes the global policy; unlike TF 2.4 it need not be floating.

    Raises:
        InvalidValue, InvalidType: no policy, nor the name of one.
    """
    if isinstance(policy, DTypePolicy | DTypePolicyMap):
        return policy
    if isinstance(policy, str):
        return by_name(policy)
    raise InvalidValue(
        "Invalid `policy` argument. Expected the string name of a policy (such as 'mixed_float16') or a `DTypePolicy` "
        f"instance. Received: policy={policy} (of type {type(policy)})",
        code="not_a_policy",
    )


def layer_policy(dtype: Any, global_name: str = FLOATX) -> AnyPolicy:
    """Return the policy of a layer that is given a ``dtype``.

    Raises:
        InvalidValue, InvalidType: as ``get_policy``; Keras trips over the name of a class that it does not know.
    """
    try:
        return get_policy(dtype, global_name)
    except InvalidValue as error:
        raise tripped(error) from error


def tripped(error: InvalidValue) -> InvalidValue:
    """Return the error of who uses what Keras could not read and handed back, in place of the error of reading it."""
    if error.code != UNKNOWN:
        return error
    return InvalidValue(error.message, code=error.code, path=error.path, original="AttributeError")


def stripped_names(policies: DTypePolicyMap) -> tuple[str, ...]:
    """Return the places in a serialized map that Keras leaves empty, in the text as in the map that it wrote.

    Where a map has no default of its own, Keras takes the names off its policies when it is written; read again, they
    are all the global policy of that moment.
    """
    if policies.default is not None:
        return ()
    return tuple(f"config.policy_map.{key}.config.{_name_key(policy)}" for key, policy in policies.entries.items())


def _name_key(policy: DTypePolicy) -> str:
    return "name" if "name" in policy.get_config() else "source_name"


def deserialize_policy(config: Any, global_name: str = FLOATX) -> Read[AnyPolicy]:
    """Read what ``serialize_policy`` wrote, or a class name.

    Args:
        config: the four-key dict; "module" and "registered_name" may be missing. It is not changed.
        global_name: name of the global policy.

    Raises:
        InvalidValue: a class that is no policy of Keras 3 (those of TF 2.4 are none), or what the class refuses.
        InvalidType: arguments that the class does not take.
    """
    if isinstance(config, str):
        return Read(_made(config, {}, global_name))
    if not isinstance(config, dict) or "class_name" not in config:
        text = (
            f"Unknown `config` as a `dict`, config={config}" if isinstance(config, dict) else f"No policy: {config!r}"
        )
        raise InvalidValue(text, code="improper_config")
    class_name = config["class_name"]
    if config.get("module", "keras") is None and class_name in (*CLASSES, _MAP):
        raise InvalidType(
            f"Cannot deserialize object of type `{class_name}`. If `{class_name}` is a custom class, please register "
            "it using the `@keras.saving.register_keras_serializable()` decorator.",
            code="unknown_dtype_policy",
            path=("module",),
        )
    with located("config"):
        policy = _made(class_name, config.get("config") or {}, global_name)
    return Read(policy, tuple(key for key in config if key not in _ENVELOPE))


def _made(class_name: Any, config: Any, global_name: str) -> AnyPolicy:
    if class_name == _MAP:
        return _read_map(config, global_name)
    if not isinstance(class_name, str) or class_name not in CLASSES:
        raise InvalidValue(
            f"Unknown dtype policy: {class_name}. Keras 3 has {', '.join([*CLASSES, _MAP])}.",
            code=UNKNOWN,
        )
    try:
        return CLASSES[class_name].from_config(config, global_name)
    except InvalidType as error:
        # Keras puts this text around every TypeError; the reason follows on later lines.
        text = f"<class 'keras.src.dtype_policies.dtype_policy.{class_name}'>{_CLASS_TEXT}\n\n{error.message}"
        raise InvalidType(text, code=error.code, path=error.path, original=error.original) from error


def _enveloped(module: str, class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def _map_config(policies: DTypePolicyMap) -> dict[str, Any]:
    """Return the config of a map: with no default of its own, Keras strips the names off the entries as well."""
    written = {key: serialize_policy(policy) for key, policy in policies.entries.items()}
    if policies.default is not None:
        return {"default_policy": policies.default.name, "policy_map": written}
    for key, policy in policies.entries.items():
        written[key]["config"] = {**policy.get_config(), _name_key(policy): None}
    return {"default_policy": None, "policy_map": written}


def _read_map(config: Any, global_name: str) -> DTypePolicyMap:
    arguments = check_arguments(_MAP, config, optional=("default_policy", "policy_map"))
    if "policy_map" not in arguments:
        raise InvalidType(
            "The config has no 'policy_map', which it needs.", code="missing_argument", original="KeyError"
        )
    default = arguments.get("default_policy")
    written = arguments["policy_map"] or {}
    if not isinstance(written, dict):
        raise InvalidType(
            f"'policy_map' must be a dict of policies by path, but got: {written!r}",
            code="not_a_dict",
            path=("policy_map",),
            original="AttributeError",
        )
    entries = {}
    for key, value in written.items():
        with located("policy_map", key):
            entries[key] = entry_policy(value, global_name)
    return DTypePolicyMap(None if default is None else entry_policy(default, global_name), MappingProxyType(entries))


def entry_policy(value: Any, global_name: str = FLOATX) -> DTypePolicy:
    """Return the policy that a value assigned in a map stands for.

    Raises:
        InvalidValue: none.
    """
    try:
        policy = get_policy(value, global_name)
    except EngineError as error:
        raise InvalidValue(
            f"Cannot interpret the assigned value by `keras.dtype_policies.get`. Received: {value} of type "
            f"{type(value)}",
            code="not_a_policy",
        ) from error
    if isinstance(policy, DTypePolicyMap):
        raise InvalidValue("A DTypePolicyMap cannot hold another one.", code="not_a_policy")
    return policy
