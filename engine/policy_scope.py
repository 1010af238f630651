"""Which layers of a model follow the policy that a training asks for.

Keras writes a dtype into every layer of an exported model, and a layer's own dtype overrides the policy of the model.
So the config of an export alone cannot say which dtypes were chosen on purpose; the scope says how to read them:

- ``auto``: the dtype that the export wrote into its layers is replaced; layers that name another one keep it.
- ``all``: every layer follows the policy.
- ``unset``: only layers that name no dtype follow it, as in Keras.

Source: ``Layer.get_config`` of TF 2.4.4, tf_keras 2.21 and Keras 3.15, observed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias, get_args

from engine.errors import EngineError, InvalidValue
from engine.keras_config import copied
from engine.layers import InputLayer, Layer
from engine.layers.dtype_argument import read_dtype
from engine.layers.embedding import Embedding
from engine.layers.operations import Operation, is_operation
from engine.layers.wrappers import Wrapper
from engine.nested import Nested
from engine.network import Network
from engine.policy import MIXED, Policy

Scope: TypeAlias = Literal["auto", "all", "unset"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_INSIDE = ("layer", "backward_layer")
"""Keys of a wrapper's config that hold layers."""
_BEFORE_POLICIES = re.compile(r"(1|2\.[012])\.")
"""Versions of Keras whose layers have no policy: `dtype` beside `batch_input_shape` is the dtype of the input there."""
_WRITTEN = frozenset({*MIXED, "float16", "bfloat16", "float32", "float64", "half", "float", "double"} - {"_infer"})
"""Policies that an export writes into its layers; quantized ones and integers are chosen for single layers."""
_FORGETFUL = ("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
"""Layers of Keras 3 that write the dtype of their variables in place of their policy."""
_FLOAT32_IN_TF24 = ("Normalization",)
"""Layers that no global policy reaches in TF 2.4: without a dtype of their own they are float32."""
_INTEGERS = re.compile(r"u?int\d+|bool")


@dataclass(frozen=True)
class _Found:
    """A serialized layer that computes.

    Attributes:
        class_name: of the layer.
        config: its config, which may be changed.
        own: name of the policy that it names; None where it names none, or one that cannot be read.
        container: whether it is a model, whose layers have dtypes of their own.
    """

    class_name: Any
    config: dict[str, Any]
    own: str | None
    container: bool


@dataclass(frozen=True)
class Scoped:
    """A model config without the dtypes that the policy of the training replaces.

    Attributes:
        config: ``{"class_name", "config"}``.
        replaced: how many layers that compute named each of the replaced policies.
        rivals: policies that more than half as many layers name; any of them may be what the export wrote.
    """

    config: Mapping[str, Any]
    replaced: Mapping[str, int]
    rivals: tuple[str, ...] = ()


def scoped(config: Mapping[str, Any], scope: Scope) -> Scoped:
    """Remove the dtypes that the policy of the training replaces from a model config.

    Args:
        config: ``{"class_name", "config"}`` as ``model.to_json()`` prints it; it is not changed.
        scope: which layers follow the policy.

    Raises:
        InvalidValue: no such scope.
    """
    if scope not in SCOPES:
        text = f"`policy_scope` must be one of {', '.join(map(repr, SCOPES))}, got {scope!r}."
        raise InvalidValue(text, code="unknown_scope", path=("policy_scope",))
    changed: dict[str, Any] = copied(dict(config))
    found = list(_layers(changed))
    dropped = [layer for layer in found if _is_input_dtype(layer, str(config.get("keras_version", "")))]
    for layer in dropped:
        del layer.config["dtype"]
    rest = [layer for layer in found if "dtype" in layer.config]
    export = _exported(changed, found, rest) if scope == "auto" else None
    replaced = {"all": rest, "auto": export.layers if export else [], "unset": []}[scope]
    for layer in replaced:
        del layer.config["dtype"]
    counts = Counter(layer.own for layer in replaced if layer.own is not None and not layer.container)
    rivals = export.rivals if export else ()
    return Scoped(changed if dropped or replaced else config, MappingProxyType(counts), rivals)


def _layers(model: Mapping[str, Any]) -> Iterator[_Found]:
    """Yield the serialized layers of a model that compute, those in nested models and in wrappers too."""
    config = model.get("config")
    items = config.get("layers") if isinstance(config, Mapping) else config
    for item in items if isinstance(items, list) else ():
        yield from _layer(item)


def _layer(item: Any) -> Iterator[_Found]:
    config = item.get("config") if isinstance(item, dict) else None
    if not isinstance(config, dict) or item.get("class_name") == InputLayer.__name__ or is_operation(item):
        return
    container = isinstance(config.get("layers"), list)
    yield _Found(item.get("class_name"), config, _named(config.get("dtype")), container)
    if container:
        yield from _layers(item)
    for key in _INSIDE:
        yield from _layer(config.get(key))


def _named(dtype: Any) -> str | None:
    try:
        policy = read_dtype("dtype", dtype)
    except EngineError:
        return None  # the reader of the layer words the fault
    return None if policy is None else policy.name


def _is_input_dtype(layer: _Found, version: str) -> bool:
    """Whether a layer's dtype is that of its input: in Keras before 2.3, where an Embedding takes integers."""
    if "dtype" not in layer.config:
        return False
    integers = isinstance(layer.config["dtype"], str) and _INTEGERS.fullmatch(layer.config["dtype"])
    return bool(_BEFORE_POLICIES.match(version) or (integers and layer.class_name == Embedding.__name__))


@dataclass(frozen=True)
class _Export:
    """The layers with the dtype that an export wrote, and the policies that it may have been instead."""

    layers: list[_Found]
    rivals: tuple[str, ...]


def _exported(model: Mapping[str, Any], found: list[_Found], named: list[_Found]) -> _Export | None:
    """Return the layers with the dtype that an export wrote; None where some layer names no dtype.

    Of several dtypes it is the one of the model itself if that is not float32, else the most frequent one, else the
    one that is not float32: single float32 layers in a model of narrow ones are chosen on purpose, as quantized ones.
    """
    computing = [layer for layer in found if not layer.container]
    if any(layer.own is None for layer in computing):
        return None
    forgotten = [layer for layer in computing if _forgets_policy(layer, computing)]
    version = str(model.get("keras_version", ""))
    always = [layer for layer in computing if version.startswith("2.4.") and layer.class_name in _FLOAT32_IN_TF24]
    telling = [layer for layer in computing if layer not in (*forgotten, *always)] or computing
    counts = Counter(layer.own for layer in telling if layer.own is not None and layer.own in _WRITTEN)
    if not counts:
        return None
    config = model["config"]
    whole = _named(config.get("dtype")) if isinstance(config, Mapping) else None

    def rank(name: str) -> tuple[bool, int, bool, bool]:
        return (name == whole and name != "float32", counts[name], name == whole, name != "float32")

    common = max(counts, key=rank)
    rivals = () if common == whole else tuple(n for n in counts if n != common and 2 * counts[n] > counts[common])
    variables = Policy(common).variable_dtype
    same = [layer for layer in named if layer.own == common or (layer in forgotten and layer.own == variables)]
    return _Export([layer for layer in same if layer not in always], rivals)


def _forgets_policy(layer: _Found, others: list[_Found]) -> bool:
    """Whether a layer's config has the dtype of its variables in place of its policy, which Keras 3 forgets there."""
    if layer.class_name not in _FORGETFUL or not isinstance(layer.config.get("dtype"), str):
        return False
    dtypes = [other.config.get("dtype") for other in others]
    return any(isinstance(dtype, Mapping) and dtype.get("class_name") == "DTypePolicy" for dtype in dtypes)


@dataclass(frozen=True)
class Kept:
    """A layer that does not follow the policy.

    Attributes:
        layer: its name; "encoder/dense" in a nested model or a wrapper.
        policy: name of the policy that it has instead.
        why: the reason, and what changes it.
    """

    layer: str
    policy: str
    why: str


@dataclass(frozen=True)
class PolicyReach:
    """What a policy reaches.

    Attributes:
        policy: its name.
        layers: layers that compute: all but InputLayers and operations.
        followed: how many of them follow the policy.
        kept: the others.
    """

    policy: str
    layers: int
    followed: int
    kept: tuple[Kept, ...]


_WHY: Mapping[Scope, str] = {
    "auto": "The layer names {own!r} itself, and the policy of the job replaces only what the export wrote into all "
    'layers. With "policy_scope": "all" it follows the policy of the job.',
    "all": "The policy of the job gives this layer {own!r}.",
    "unset": 'The layer names {own!r} itself, and "policy_scope": "unset" lets a layer\'s own dtype override the '
    'policy of the job. With "policy_scope": "auto" or "all" it follows the policy of the job.',
}


class Asked(Protocol):
    """A policy that was asked for, of any line of Keras."""

    @property
    def name(self) -> str:
        """Its name."""

    def of_layer(self, path: str) -> Policy:
        """Return the policy of a layer that names none."""


def policy_reach(network: Network, scope: Scope, policy: Asked | None = None) -> PolicyReach:
    """Return which layers of a network have the policy that was asked for.

    Args:
        network: of a config that went through :func:`scoped`.
        scope: with which it went.
        policy: that was asked for; by default the policy of the network.
    """
    asked: Asked = policy or network.policy
    prefix = f"{network.name}/" if network.class_name == "Sequential" else ""
    rows = list(_members(network.outline.members, asked, prefix, ""))
    kept = tuple(
        Kept(name, own.name, _WHY[scope].format(own=own.name)) for name, own, wanted in rows if not _same(own, wanted)
    )
    return PolicyReach(asked.name, len(rows), len(rows) - len(kept), kept)


def _same(own: Policy, wanted: Policy) -> bool:
    return own.name in {wanted.name, wanted.plain.name}


def _members(members: Sequence[Layer], policy: Asked, prefix: str, scope: str) -> Iterator[tuple[str, Policy, Policy]]:
    """Yield name, policy and wanted policy of every layer that computes.

    Args:
        members: layers of one model.
        policy: that was asked for.
        prefix: what stands before a layer's name where a DTypePolicyMap looks for it.
        scope: what stands before a layer's name in answers.
    """
    for member in members:
        name = f"{scope}{(member.name or '').rpartition('/')[2]}"
        if isinstance(member, InputLayer | Operation):
            continue
        if isinstance(member, Nested):
            inside = f"{member.name}/" if member.class_name == "Sequential" else ""
            yield from _members(member.outline.members, policy, inside, f"{name}/")
            continue
        yield name, member.policy, policy.of_layer(f"{prefix}{member.name}")
        if isinstance(member, Wrapper):
            yield from _members(member.inner_layers(), policy, prefix, f"{name}/")
