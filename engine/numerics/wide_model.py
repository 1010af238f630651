"""A model in float32: the same layers and variables, whatever dtypes its own config asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.dtypes import FLOAT32
from engine.layered_policy import MapPolicy
from engine.layers.dtype_argument import read_dtype
from engine.network import Network, read_network
from engine.policy import Policy


def in_float32(network: Network) -> Network:
    """Return the network with every layer that computes in floats computing in float32.

    Raises:
        EngineError: its config cannot be read back.
    """
    policy = Policy(FLOAT32.name)
    given = network.input_shapes[0] if network.class_name == "Sequential" else None
    return read_network(_widened(network.get_config()), policy, network.conventions, given)


def _widened(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_widened(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {key: FLOAT32.name if key == "dtype" and _is_float(item) else _widened(item) for key, item in value.items()}


def _is_float(dtype: Any) -> bool:
    """Whether a layer's dtype entry stands for floats; integers and text are what a layer takes or gives as such."""
    policy = read_dtype("dtype", dtype)
    if policy is None:
        return False
    return isinstance(policy, MapPolicy) or policy.compute_dtype is None or policy.compute.is_floating
