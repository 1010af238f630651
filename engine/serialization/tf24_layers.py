"""What a layer of TF 2.4 makes of its ``dtype`` argument.

Source: ``Layer._set_dtype_policy`` in ``tensorflow.python.keras.engine.base_layer`` and ``as_dtype`` in
``tensorflow.python.framework.dtypes`` of TF 2.4.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any

from engine.errors import InvalidType
from engine.policy import DTYPE_NAMES, Policy
from engine.serialization.tf24 import deserialize_policy

_ENUM = (
    *("float32", "float64", "int32", "uint8", "int16", "int8", "string", "complex64", "int64", "bool", "qint8"),
    *("quint8", "qint32", "bfloat16", "qint16", "quint16", "uint16", "complex128", "float16", "resource", "variant"),
    *("uint32", "uint64"),
)
_REF_OFFSET = 100

DATA_TYPES: Mapping[int, str] = MappingProxyType(
    {
        **dict(enumerate(_ENUM, start=1)),
        **{_REF_OFFSET + number: f"{name}_ref" for number, name in enumerate(_ENUM, start=1)},
    }
)
"""The dtypes by their numbers in TF's ``DataType`` enum."""


def dtype_name(value: Any) -> str:
    """Return the canonical name of what TF 2.4 takes for a dtype: a name, an alias or a number of ``DataType``.

    Raises:
        InvalidType: anything else, also the names of mixed policies.
    """
    known: Mapping[Any, str] = DTYPE_NAMES if isinstance(value, str) else DATA_TYPES
    if not isinstance(value, Hashable) or value not in known:
        raise InvalidType(f"Cannot convert value {value!r} to a TensorFlow DType.", code="unknown_dtype")
    return known[value]


def layer_policy(dtype: Any, global_policy: Policy) -> Policy:
    """Return the policy of a layer that is given a ``dtype``.

    Args:
        dtype: a policy, what ``serialize_policy`` wrote, a dtype name or number; anything empty for the global policy.
        global_policy: of layers that are given none.

    Raises:
        InvalidType: no dtype; so is the string "mixed_float16", which TF 2.4 wants as a Policy.
        InvalidValue: a dict that ``deserialize_policy`` refuses.
    """
    if isinstance(dtype, Policy):
        return dtype
    if isinstance(dtype, dict):
        return deserialize_policy(dtype).value
    return Policy(dtype_name(dtype)) if dtype else global_policy
