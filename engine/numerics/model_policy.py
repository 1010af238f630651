"""The policy of a model as it was given, in any line of Keras: its name decides on scaling, its dtypes on layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine import layers
from engine.dtype_policy import CLASSES, MIXED, QUANTIZATION_MODES, DTypePolicy, QuantizedDTypePolicy
from engine.dtype_policy_map import DTypePolicyMap
from engine.errors import located
from engine.keras_config import copied
from engine.network import Network
from engine.policy import Policy
from engine.serialization import keras3, tf24

AnyPolicy: TypeAlias = Policy | DTypePolicy | DTypePolicyMap
_MAP = "DTypePolicyMap"


@dataclass(frozen=True)
class ModelPolicy:
    """A policy of a model.

    Attributes:
        given: as it was read: of TF 2.4 (a PolicyV1 with its loss scale) or of Keras 3.
        plain: the policy of layers that name none. Of a quantized policy it is the one beneath: this engine computes
            products in its compute dtype, not in int8 or float8.
    """

    given: AnyPolicy
    plain: Policy

    @property
    def name(self) -> str:
        """The name that Keras shows, and that Keras 3 decides on scaling by."""
        return self.given.name() if isinstance(self.given, DTypePolicyMap) else self.given.name

    @property
    def never_scaled(self) -> bool:
        """Whether it is a kind of policy that Keras 3's ``compile`` passes over, whatever its dtypes."""
        return isinstance(self.given, QuantizedDTypePolicy | DTypePolicyMap)

    def of_layer(self, path: str) -> Policy:
        """Return the policy of a layer that names none: "model/layer" in a Sequential model, else "layer"."""
        return _beneath(self.given.policy_of(path)) if isinstance(self.given, DTypePolicyMap) else self.plain


def read_model_policy(value: Any) -> ModelPolicy:
    """Return the policy that a value stands for.

    Args:
        value: a name, a serialized policy of TF 2.3 to Keras 3, None for float32, or a policy.

    Raises:
        InvalidValue, InvalidType: no policy; the path is relative to the value.
    """
    given: AnyPolicy
    if isinstance(value, Policy | DTypePolicy | DTypePolicyMap):
        given = value
    elif _is_keras3(value):
        given = keras3.get_policy(value)
    else:
        given = tf24.read_policy(value).value
    return ModelPolicy(given, given if isinstance(given, Policy) else _beneath(given))


def _is_keras3(value: Any) -> bool:
    if isinstance(value, str):
        return value.startswith(QUANTIZATION_MODES) and "_from_" in value
    return isinstance(value, Mapping) and (value.get("class_name") in CLASSES or value.get("class_name") == _MAP)


def _beneath(policy: DTypePolicy | DTypePolicyMap) -> Policy:
    single = policy.default_policy() if isinstance(policy, DTypePolicyMap) else policy
    return Policy(single.source_name if single.source_name in MIXED else single.compute_dtype)


def with_policies(config: Mapping[str, Any], policy: ModelPolicy, network: Network) -> Mapping[str, Any]:
    """Return a model config in which the layers that name no dtype have the one that a DTypePolicyMap gives them.

    A layer's path is "model/layer" in a Sequential model and "layer" in a functional one (observed in Keras 3.15.1).

    Args:
        config: what ``model.to_json()`` holds.
        policy: of the model; unless it is a map, the config comes back as it is.
        network: read from the config, for the names that Keras makes up.

    Raises:
        InvalidValue: several keys of the map match one layer; the path is relative to the policy.
    """
    if not isinstance(policy.given, DTypePolicyMap):
        return config
    changed: dict[str, Any] = copied(dict(config))
    written = changed["config"]["layers"]
    sequential = network.class_name == "Sequential"
    made_up = len(network.layers) - len(written) if sequential else 0
    for index, item in enumerate(written):
        own = item.setdefault("config", {})  # some layers need none
        name = network.layers[index + made_up].name if sequential else own.get("name") or item.get("name")
        if name is None or item["class_name"] == layers.InputLayer.class_name or own.get("dtype"):
            continue
        with located("config", "policy_map"):
            found = policy.given.policy_of(f"{network.name}/{name}" if sequential else name)
        own["dtype"] = _beneath(found).name
    return changed
