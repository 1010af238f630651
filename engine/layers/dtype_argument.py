"""The ``dtype`` entry of a layer: a policy, the name of a dtype, or a serialized policy of any line of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.configured import refuse, split_serialized
from engine.conventions import Conventions
from engine.dtypes import DType
from engine.errors import located
from engine.layered_policy import Float8Policy, MapPolicy
from engine.policy import Policy, PolicyV1
from engine.serialization.any_policy import is_layered, read_layered, write_layered

_POLICY_CLASSES = ("Policy", "PolicyV1", "DTypePolicy", "FloatDTypePolicy")


def read_dtype(key: str, value: Any) -> Policy | PolicyV1 | None:
    """Read the dtype argument of a layer.

    None leaves the policy to the container. TF 2.4 refuses the *string* "mixed_float16" here and wants a Policy
    (``reference/mixed-precision.md``, ``Layer(dtype=)``); Keras 3 takes it, and so do we: it can mean only one thing.

    Raises:
        InvalidValue: no dtype and no policy.
    """
    if value is None or isinstance(value, Policy | PolicyV1):
        return value
    if is_layered(value):
        return read_layered(value)
    if isinstance(value, DType):
        return Policy(value.name)
    if isinstance(value, str):
        return Policy(value)
    if isinstance(value, Mapping):
        class_name, config = split_serialized("dtype policy", value)
        if class_name in _POLICY_CLASSES:
            # As TF does, a layer's PolicyV1 comes back as Policy: only models use a loss scale, layers never do.
            name: Any = config.get("name")
            with located("config"):
                return Policy(name)
    raise refuse(key, "null, the name of a dtype or policy, or a serialized policy", value)


def write_dtype(policy: Policy | PolicyV1 | None, conventions: Conventions) -> Any:
    """Return what ``get_config`` shows: TF 2.4 writes a plain dtype policy as its name, Keras 3 always a dict."""
    if policy is None:
        return None
    if isinstance(policy, Float8Policy | MapPolicy):
        return write_layered(policy)
    config = {"name": policy.name}
    if conventions.keras3:
        return {"module": "keras", "class_name": "DTypePolicy", "config": config, "registered_name": None}
    plain = policy.compute_dtype == policy.variable_dtype
    return policy.compute_dtype if plain else {"class_name": "Policy", "config": config}
