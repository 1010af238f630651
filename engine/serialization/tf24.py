"""Policies in the dialect of TF 2.4 (and 2.3, whose policies had loss scales).

Source: ``serialize`` and ``deserialize`` in ``tensorflow.python.keras.mixed_precision.policy`` of TF 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine import keras_config
from engine.keras_config import Reader
from engine.policy import Policy, PolicyV1, is_dtype_name
from engine.serialization.reading import Read

# TF reads both classes as the plain one, so that models saved with the experimental class outlive it.
_READERS: Mapping[str, Reader[Policy]] = {"Policy": Policy.from_config, "PolicyV1": Policy.from_config}
_WITH_LOSS_SCALE: Mapping[str, Reader[Policy]] = {"Policy": Policy.from_config, "PolicyV1": PolicyV1.from_config}
_ENVELOPE = ("class_name", "config")


def serialize_policy(policy: Policy) -> dict[str, Any] | str | None:
    """Return what TF 2.4 writes: a name for a dtype, None for "_infer", else ``{"class_name", "config"}``."""
    if isinstance(policy, PolicyV1):
        return keras_config.serialized(policy)
    if policy.name == "_infer":
        return None
    return policy.name if is_dtype_name(policy.name) else keras_config.serialized(policy)


def deserialize_policy(config: Any) -> Read[Policy]:
    """Read what TF 2.4 wrote, as TF does: every class becomes ``Policy`` and a loss scale is dropped unread.

    Args:
        config: a dtype name, None (for "_infer"), or ``{"class_name", "config"}``; it is not changed.

    Raises:
        InvalidValue, InvalidType: anything else; note that TF refuses the plain string "mixed_float16".
    """
    return _read(config, _READERS)


def read_policy(value: Any) -> Read[Policy]:
    """Read whatever a user may have in hand, without losing the loss scale of a PolicyV1.

    Args:
        value: any policy name, a dict that TF 2.3 or 2.4 wrote, or None for the default policy, "float32".

    Raises:
        InvalidValue, InvalidType: anything else.
    """
    if value is None:
        return Read(Policy("float32"))
    if isinstance(value, str):
        return Read(Policy(value))
    return _read(value, _WITH_LOSS_SCALE)


def _read(config: Any, readers: Mapping[str, Reader[Policy]]) -> Read[Policy]:
    if isinstance(config, str) and is_dtype_name(config):
        return Read(Policy(config))
    policy = keras_config.deserialize(config, readers, "dtype policy")
    if policy is None:
        return Read(Policy("_infer"))
    return Read(policy, _dropped(config, policy), policy.warnings)


def _dropped(config: Any, policy: Policy) -> tuple[str, ...]:
    """Return the places in a config dict that a policy read from it does not hold."""
    kept = policy.get_config()
    other_class = ["class"] if config["class_name"] != type(policy).__name__ else []
    keys = [f"config.{key}" for key in config["config"] if key not in kept]
    return (*other_class, *keys, *(key for key in config if key not in _ENVELOPE))
