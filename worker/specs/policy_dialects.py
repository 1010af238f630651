"""How each line of Keras reads, makes and writes policies: one record per line, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from engine.dtype_policy import CLASSES, DTypePolicy, FloatDTypePolicy
from engine.dtype_policy_map import DTypePolicyMap
from engine.errors import InvalidValue
from engine.keras_config import check_arguments
from engine.policy import Policy, PolicyV1
from engine.serialization import keras3, tf23, tf24, tf_keras
from engine.serialization.reading import Read
from engine.serialization.tf_keras import TfKerasPolicy
from worker.specs.dialects import Dialect

AnyPolicy: TypeAlias = Policy | DTypePolicy | DTypePolicyMap
Maker: TypeAlias = Callable[[Any, Mapping[str, Any]], AnyPolicy]
"""Calls a class with a name (or what stands for it) and further keyword arguments."""


@dataclass(frozen=True)
class PolicyDialect:
    """Policies of one line of Keras.

    Attributes:
        read: anything a user may have in hand, without losing a loss scale.
        deserialize: what `serialize` wrote, as that line does.
        serialize: writes a policy.
        makers: its classes by name.
        scaled: the class that a loss scale beside a policy is given to.
        shown: class names of the engine that have another one there.
    """

    read: Callable[[Any], Read[Any]]
    deserialize: Callable[[Any], Read[Any]]
    serialize: Callable[[Any], dict[str, Any] | str | None]
    makers: Mapping[str, Maker]
    scaled: str
    shown: Mapping[str, str] = field(default_factory=dict)

    def make(self, class_name: str, name: Any, given: Mapping[str, Any]) -> AnyPolicy:
        """Call a class.

        Raises:
            InvalidValue: there is no such class here, or what it refuses.
            InvalidType: what the class refuses.
        """
        if class_name not in self.makers:
            accepted = ", ".join(self.makers)
            text = f"Unknown dtype policy: {class_name}. This dialect has {accepted}."
            raise InvalidValue(text, code="unknown_dtype_policy", path=("class_name",))
        return self.makers[class_name](name, given)

    def class_name(self, policy: AnyPolicy) -> str:
        """Return the name that the class of a policy has there."""
        own = type(policy).__name__
        return self.shown.get(own, own)


def _called(cls: type[Policy], shown: str, optional: tuple[str, ...], name: Any, given: Mapping[str, Any]) -> Policy:
    return cls(**check_arguments(shown, {"name": name, **given}, required=("name",), optional=optional))


def _called_keras3(class_name: str, name: Any, given: Mapping[str, Any]) -> AnyPolicy:
    """Call a class of Keras 3; a dict in place of the name is its arguments, "int8_from_float32" two of them."""
    check_arguments(class_name, given)
    if isinstance(name, dict):
        return keras3.deserialize_policy({"class_name": class_name, "config": name}).value
    if class_name == "DTypePolicyMap":
        return keras3.deserialize_policy(
            {"class_name": class_name, "config": {"default_policy": name, "policy_map": {}}}
        ).value
    cls = CLASSES[class_name]
    if cls in (DTypePolicy, FloatDTypePolicy):
        return cls.from_config({"name": name})
    mode, parted, source = name.partition("_from_") if isinstance(name, str) else (name, "", "")
    return cls.from_config({"mode": mode, "source_name": source} if parted else {"mode": mode})


def _read_tf_keras(value: Any) -> Read[Policy]:
    if value is None:
        return Read(TfKerasPolicy("float32"))
    return Read(TfKerasPolicy(value)) if isinstance(value, str) else tf_keras.deserialize_policy(value)


def _read_keras3(value: Any) -> Read[Any]:
    return keras3.deserialize_policy(value) if isinstance(value, dict) else Read(keras3.get_policy(value))


POLICY_DIALECTS: Mapping[Dialect, PolicyDialect] = MappingProxyType(
    {
        "tf2.4": PolicyDialect(
            read=tf24.read_policy,
            deserialize=tf24.deserialize_policy,
            serialize=tf24.serialize_policy,
            makers={
                "Policy": partial(_called, Policy, "Policy", ()),
                "PolicyV1": partial(_called, PolicyV1, "PolicyV1", ("loss_scale",)),
            },
            scaled="PolicyV1",
        ),
        "tf2.3": PolicyDialect(
            read=tf23.read_policy,
            deserialize=tf23.deserialize_policy,
            serialize=tf23.serialize_policy,
            makers={"Policy": partial(_called, PolicyV1, "Policy", ("loss_scale",))},
            scaled="Policy",
            shown={"PolicyV1": "Policy"},
        ),
        "tf_keras": PolicyDialect(
            read=_read_tf_keras,
            deserialize=tf_keras.deserialize_policy,
            serialize=tf_keras.serialize_policy,
            makers={"Policy": partial(_called, TfKerasPolicy, "Policy", ())},
            scaled="Policy",
            shown={"TfKerasPolicy": "Policy"},
        ),
        "keras3": PolicyDialect(
            read=_read_keras3,
            deserialize=keras3.deserialize_policy,
            serialize=keras3.serialize_policy,
            makers={name: partial(_called_keras3, name) for name in (*CLASSES, "DTypePolicyMap")},
            scaled="DTypePolicy",
        ),
    }
)
"""Every line of Keras by name."""
