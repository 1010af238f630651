"""Policies in the dialect of TF 2.3, whose one class had the loss scale that TF 2.4 knows as ``PolicyV1``.

Source: ``serialize``, ``deserialize`` and ``Policy`` in
``tensorflow.python.keras.mixed_precision.experimental.policy`` of TF 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine import keras_config
from engine.keras_config import Reader
from engine.policy import PolicyV1, is_dtype_name
from engine.serialization.reading import Read

_READERS: Mapping[str, Reader[PolicyV1]] = {"Policy": PolicyV1.from_config}
_ENVELOPE = ("class_name", "config")


def serialize_policy(policy: PolicyV1) -> dict[str, Any] | str | None:
    """Return what TF 2.3 writes: a name for a dtype without a loss scale of its own, None for "_infer", else a dict."""
    config = policy.get_config()
    if list(config) == ["name"] and policy.name == "_infer":
        return None
    if list(config) == ["name"] and is_dtype_name(policy.name):
        return policy.name
    return {"class_name": "Policy", "config": config}


def deserialize_policy(config: Any) -> Read[PolicyV1]:
    """Read what TF 2.3 wrote, with its loss scale.

    Args:
        config: a dtype name, None (for "_infer"), or ``{"class_name", "config"}``; it is not changed.

    Raises:
        InvalidValue, InvalidType: anything else, the classes of later releases included.
    """
    if isinstance(config, str) and is_dtype_name(config):
        return Read(PolicyV1(config))
    policy = keras_config.deserialize(config, _READERS, "dtype policy")
    if policy is None:
        return Read(PolicyV1("_infer"))
    return Read(policy, tuple(key for key in config if key not in _ENVELOPE), policy.warnings)


def read_policy(value: Any) -> Read[PolicyV1]:
    """Read whatever a user may have in hand: any policy name, a dict, or None for the default policy, "float32".

    Raises:
        InvalidValue, InvalidType: anything else.
    """
    if value is None:
        return Read(PolicyV1("float32"))
    return Read(PolicyV1(value)) if isinstance(value, str) else deserialize_policy(value)
