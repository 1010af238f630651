"""Policies in the dialect of tf_keras 2.21: TF 2.4's, with newer dtypes, string policies and Keras 3's envelope.

Where tf_keras hands back a name or a number that it could not read, as if it were a policy, this reader refuses.
Source: ``tf_keras.src.mixed_precision.policy`` and ``tf_keras.src.saving.serialization_lib`` of tf_keras 2.21.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from engine import policy as tf24_policy
from engine.errors import InvalidType, InvalidValue, located
from engine.policy import Policy
from engine.serialization.keras3 import UNKNOWN, tripped
from engine.serialization.reading import Read
from engine.serialization.tf24_layers import DATA_TYPES

_NEWER = (
    *("float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"),
    *("int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
)
_REF_OFFSET = 100
_FIRST_NEWER = 24
DTYPE_NAMES: Mapping[str, str] = MappingProxyType(
    {**tf24_policy.DTYPE_NAMES, **{name: name for plain in _NEWER for name in (plain, f"{plain}_ref")}}
)
"""The names of TF 2.21's dtypes and their references, each with the canonical name of the dtype."""
NUMBERS: Mapping[int, str] = MappingProxyType(
    {
        **DATA_TYPES,
        **dict(enumerate(_NEWER, start=_FIRST_NEWER)),
        **{_REF_OFFSET + number: f"{name}_ref" for number, name in enumerate(_NEWER, start=_FIRST_NEWER)},
    }
)
"""The dtypes by their numbers in TF 2.21's ``DataType`` enum."""
_CLASSES = ("Policy", "PolicyV1")
_ENVELOPE = ("module", "class_name", "config", "registered_name")
_FLOATING = ("float", "bfloat16", "half", "double")


@dataclass(frozen=True, repr=False)
class TfKerasPolicy(Policy):
    """``tf_keras.mixed_precision.Policy``: that of TF 2.4, with the dtypes of TF 2.21."""

    dtype_names: ClassVar[Mapping[str, str]] = DTYPE_NAMES
    accepted: ClassVar[str] = "Valid policies include "


def serialize_policy(policy: Policy) -> dict[str, Any] | str | None:
    """Return what tf_keras writes: a name for a dtype, None for "_infer", else the four-key dict."""
    if policy.name == "_infer":
        return None
    if policy.name in DTYPE_NAMES:
        return policy.name
    config = policy.get_config()
    return {"module": "keras.mixed_precision", "class_name": "Policy", "config": config, "registered_name": None}


def get_policy(identifier: Any, global_policy: Policy) -> Policy:
    """Return the policy of a layer that is given a ``dtype``, which may be the name of a mixed policy.

    Args:
        identifier: a policy, a serialized one, a name, a number of ``DataType``; anything empty for the global policy.
        global_policy: of layers that are given none.

    Raises:
        InvalidType: no policy and no dtype.
        InvalidValue: a dict that ``deserialize_policy`` refuses.
    """
    if isinstance(identifier, Policy):
        return identifier
    if isinstance(identifier, dict):
        try:
            return deserialize_policy(identifier).value
        except InvalidValue as error:
            raise tripped(error) from error
    if isinstance(identifier, str) and identifier in ("mixed_float16", "mixed_bfloat16"):
        return TfKerasPolicy(identifier)
    if not identifier:
        return global_policy
    known: Mapping[Any, str] = DTYPE_NAMES if isinstance(identifier, str) else NUMBERS
    if not isinstance(identifier, Hashable) or identifier not in known:
        raise InvalidType(
            f"Cannot convert the argument `type_value`: {identifier!r} to a TensorFlow DType.", code="unknown_dtype"
        )
    return TfKerasPolicy(known[identifier])


def set_policy(policy: Any) -> Policy:
    """Return what ``set_global_policy`` makes the global policy.

    Raises:
        InvalidType, InvalidValue: no policy has that name, or it does not compute in floats.
    """
    chosen = policy if isinstance(policy, Policy) else TfKerasPolicy(policy)
    if chosen.compute_dtype is not None and not chosen.compute_dtype.startswith(_FLOATING):
        raise InvalidValue(
            'set_global_policy can only be used to set the global policy to floating-point policies, such as "float32" '
            f'and "mixed_float16", but got policy: {chosen.name}',
            code="not_floating",
        )
    return chosen


def deserialize_policy(config: Any) -> Read[Policy]:
    """Read what ``serialize_policy`` or an earlier Keras wrote; a loss scale is dropped unread.

    Args:
        config: a dtype name, None for "_infer", a class name, or a dict with a class name; it is not changed.

    Raises:
        InvalidType, InvalidValue: anything else.
    """
    if config is None:
        return Read(TfKerasPolicy("_infer"))
    if isinstance(config, str):
        if config in DTYPE_NAMES:
            return Read(TfKerasPolicy(config))
        return Read(_made(config, {}))
    if not isinstance(config, dict) or "class_name" not in config:
        text = (
            f"Unknown `config` as a `dict`, config={config}" if isinstance(config, dict) else f"No policy: {config!r}"
        )
        raise InvalidValue(text, code="improper_config")
    class_name = config["class_name"]
    if config.get("module", "keras") is None and class_name in _CLASSES:
        raise InvalidType(
            f"Cannot deserialize object of type `{class_name}`. If `{class_name}` is a custom class, please register "
            "it using the `@keras.saving.register_keras_serializable()` decorator.",
            code="unknown_dtype_policy",
            path=("module",),
        )
    inner = config.get("config") or {}
    with located("config"):
        policy = _made(class_name, inner)
    other_class = ["class"] if class_name != "Policy" else []
    keys = [f"config.{key}" for key in inner if key not in policy.get_config()]
    return Read(policy, (*other_class, *keys, *(key for key in config if key not in _ENVELOPE)))


def _made(class_name: Any, config: Any) -> Policy:
    if class_name not in _CLASSES:
        raise InvalidValue(f"Unknown dtype policy: {class_name}. tf_keras has {', '.join(_CLASSES)}.", code=UNKNOWN)
    return TfKerasPolicy.from_config(config)
