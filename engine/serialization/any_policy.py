"""Policies as training takes them: of TF 2.4 with their loss scale, and of Keras 3 with float8 and maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.dtype_policy import CLASSES, QUANTIZATION_MODES, DTypePolicy, FloatDTypePolicy
from engine.dtype_policy_map import DTypePolicyMap
from engine.errors import located
from engine.layered_policy import Float8Policy, MapPolicy, trainable_policy
from engine.policy import Policy
from engine.serialization import keras3, tf24

_PLAIN = (DTypePolicy.__name__, FloatDTypePolicy.__name__)
LAYERED = (*(name for name in CLASSES if name not in _PLAIN), DTypePolicyMap.__name__)
"""Classes of Keras 3 that say more than a compute and a variable dtype."""


def is_layered(value: Any) -> bool:
    """Whether a value names or describes a quantized policy or a map of Keras 3."""
    if isinstance(value, str):
        return value.startswith(QUANTIZATION_MODES) and "_from_" in value
    return isinstance(value, Mapping) and value.get("class_name") in LAYERED


def read_policy(value: Any) -> Policy:
    """Read whatever a user may have in hand for a model.

    Args:
        value: a name, a serialized policy of TF 2.3 to Keras 3, None for float32, or a policy.

    Raises:
        InvalidValue, InvalidType: no policy; the path is relative to the value.
        Unsupported: a quantization that nothing can be trained in.
    """
    if isinstance(value, Policy):
        return value
    if isinstance(value, DTypePolicy | DTypePolicyMap):
        return trainable_policy(value)
    return read_layered(value) if is_layered(value) else tf24.read_policy(value).value


def read_layered(value: Any) -> Policy:
    """Read a policy that :func:`is_layered`; raises as :func:`read_policy`."""
    if not isinstance(value, Mapping):
        return trainable_policy(keras3.get_policy(value))
    given = keras3.get_policy(dict(value))
    with located("config"):
        return trainable_policy(given)


def write_layered(policy: Float8Policy | MapPolicy) -> dict[str, Any]:
    """Return the four-key dict that Keras 3 writes."""
    if isinstance(policy, MapPolicy):
        return keras3.serialize_policy(policy.policies)
    config = policy.get_config()
    class_name = "QuantizedFloat8DTypePolicy"
    return {"module": "keras.dtype_policies", "class_name": class_name, "config": config, "registered_name": None}
