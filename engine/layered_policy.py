"""Policies of Keras 3 that training understands beside plain ones: float8 products, and maps from layers to policies.

They are policies like others, of which layers ask two things more: which policy a layer of some path gets, and which
one is beneath the quantization. Source: ``keras.dtype_policies`` of Keras 3.15.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.dtype_policy import DTypePolicy, QuantizedDTypePolicy, QuantizedFloat8DTypePolicy
from engine.dtype_policy_map import DTypePolicyMap, check_key
from engine.dtypes import FLOAT32, DType
from engine.errors import InvalidValue, Unsupported, located
from engine.policy import Policy

DEFAULT_HISTORY = 1024


@dataclass(frozen=True, repr=False, init=False)
class Float8Policy(Policy):
    """``QuantizedFloat8DTypePolicy``: Dense and EinsumDense multiply in float8, everything else follows the source.

    Args:
        source: the policy beneath, such as ``Policy("mixed_bfloat16")``.
        amax_history_length: how many steps back the largest magnitude is looked for.

    Raises:
        InvalidValue: the source is no floating-point policy, or the length is not positive.
    """

    source: Policy = field(compare=False)
    amax_history_length: int = DEFAULT_HISTORY

    def __init__(self, source: Policy, amax_history_length: int = DEFAULT_HISTORY) -> None:
        if source.compute_dtype is None or not source.compute.is_floating or source.compute.bits < 16:
            text = f"Float8 needs a policy of floats of at least 16 bits beneath, got {source.name!r}."
            raise InvalidValue(text, code="quantization_source", path=("source_name",))
        if amax_history_length < 1:
            text = f"`amax_history_length` must be at least 1, got {amax_history_length}."
            raise InvalidValue(text, code="amax_history_length", path=("amax_history_length",))
        _set(self, f"float8_from_{source.name}", source)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "amax_history_length", amax_history_length)

    @property
    def plain(self) -> Policy:
        """The policy beneath."""
        return self.source

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments of Keras's class."""
        return {
            "mode": "float8",
            "source_name": self.source.name,
            "amax_history_length": self.amax_history_length,
        }


@dataclass(frozen=True, repr=False, init=False)
class MapPolicy(Policy):
    """``DTypePolicyMap`` as the policy of a model: each layer that names none gets one by its path.

    Args:
        policies: the map.

    Raises:
        InvalidValue: a key is no regular expression, which Keras finds out at the first layer.
        Unsupported: an entry is a quantization that nothing can be trained in.
    """

    policies: DTypePolicyMap

    def __init__(self, policies: DTypePolicyMap) -> None:
        for key, policy in policies.entries.items():
            _check_entry(key, policy)
        _set(self, policies.name(), trainable_policy(policies.default_policy()).plain)
        object.__setattr__(self, "policies", policies)

    def of_layer(self, path: str) -> Policy:
        """Return the policy of a layer: "model/layer" in a Sequential model, "layer" in a functional one.

        Raises:
            InvalidValue: several keys of the map match the path.
        """
        return trainable_policy(self.policies.policy_of(path))


@dataclass(frozen=True, repr=False, init=False)
class JoinedPolicy(Policy):
    """The policy of a layer inside another, which in Keras 3 computes as the outer one says with variables of its own.

    Args:
        outer: casts the inputs, and variables too if it is a mixed one; else inputs and variables meet in the wider.
        inner: has the variables.
    """

    def __init__(self, outer: Policy, inner: Policy) -> None:
        plain = outer.compute_dtype == outer.variable_dtype
        met = promoted(outer.compute, inner.variable) if plain else outer.compute
        object.__setattr__(self, "name", inner.name)
        object.__setattr__(self, "compute_dtype", met.name)
        object.__setattr__(self, "variable_dtype", inner.variable_dtype)
        object.__setattr__(self, "warnings", ())


def promoted(first: DType, second: DType) -> DType:
    """Return the dtype in which Keras 3 computes with floats of two dtypes."""
    if first is second:
        return first
    if first.bits == second.bits:  # float16 and bfloat16
        return FLOAT32
    return first if first.bits > second.bits else second


def _check_entry(key: str, policy: DTypePolicy) -> None:
    with located("policy_map", key):
        trainable_policy(policy)
        try:
            check_key(key)
        except Unsupported:
            raise
        except InvalidValue as error:
            text = f"The key {key!r} of a DTypePolicyMap is no regular expression: {error}. Write a path, or a pattern."
            raise InvalidValue(text, code="invalid_pattern") from error


def _set(policy: Policy, name: str, source: Policy) -> None:
    object.__setattr__(policy, "name", name)
    object.__setattr__(policy, "compute_dtype", source.compute_dtype)
    object.__setattr__(policy, "variable_dtype", source.variable_dtype)
    object.__setattr__(policy, "warnings", ())


def trainable_policy(policy: DTypePolicy | DTypePolicyMap) -> Policy:
    """Return a policy of Keras 3 as training follows it.

    Raises:
        Unsupported: a quantization that nothing can be trained in.
    """
    if isinstance(policy, DTypePolicyMap):
        return MapPolicy(policy)
    if not isinstance(policy, QuantizedDTypePolicy):
        return Policy(policy.name if policy.compute_dtype != policy.variable_dtype else policy.compute_dtype)
    if policy.quantization_mode != "float8":
        text = (
            f"Policy {policy.name!r} quantizes to {policy.quantization_mode}, whose weights are integers and cannot be "
            f"trained. Train with {policy.source_name!r}, or in float8 with 'float8_from_{policy.source_name}'."
        )
        raise Unsupported(text, code="policy_not_trainable")
    source = Policy(policy.source_name)
    if isinstance(policy, QuantizedFloat8DTypePolicy):
        return Float8Policy(source, policy.details["amax_history_length"])
    return Float8Policy(source)
