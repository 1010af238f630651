"""Dtype policies of TF 2.4 as frozen values: which dtype layers compute in and which their variables have.

Nothing here is global: what TF logs is the derived value ``warnings``, and the check of the GPUs in the
``device_compatibility`` module beside this one is a pure function.
Source: ``tensorflow.python.keras.mixed_precision.policy`` and ``device_compatibility_check`` of TF 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Self

from engine import keras_config, loss_scale
from engine.dtypes import ALIASES, DTYPES, DType, as_dtype
from engine.errors import InvalidType, InvalidValue, located
from engine.loss_scale import LossScale

_NEWER_DTYPES = frozenset({"float8_e4m3fn", "float8_e5m2"})
_REF = "_ref"

MIXED: Mapping[str, tuple[str | None, str | None]] = MappingProxyType(
    {"mixed_float16": ("float16", "float32"), "mixed_bfloat16": ("bfloat16", "float32"), "_infer": (None, None)}
)
"""Compute and variable dtype of the policy names that are not dtypes."""

DTYPE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        f"{name}{suffix}": f"{ALIASES.get(name, name)}{suffix}"
        for name in [*DTYPES, *ALIASES]
        if name not in _NEWER_DTYPES
        for suffix in ("", _REF)
    }
)
"""The 26 names of TF 2.4's dtypes and their references, each with the canonical name of the dtype."""

_REMOVED_HINTS = MappingProxyType(
    {
        "infer_float32_vars": " Please use the 'mixed_float16' or 'mixed_bfloat16' policy instead.",
        "infer_with_float32_vars": " Please use the 'mixed_float16' or 'mixed_bfloat16' policy instead.",
        "float16_with_float32_vars": " Please use the 'mixed_float16' policy instead.",
        "bfloat16_with_float32_vars": " Please use the 'mixed_bfloat16' policy instead.",
    }
)


@dataclass(frozen=True, repr=False)
class Policy:
    """Which dtype layers compute in, and which their variables have.

    Args:
        name: a dtype name of TF 2.4 (for both dtypes), "mixed_float16" or "mixed_bfloat16" (variables in float32),
            or "_infer" (both unknown until a layer sees its input).

    Attributes:
        compute_dtype: name of the dtype of inputs, outputs and arithmetic, or None for "_infer".
        variable_dtype: name of the dtype of variables, or None for "_infer".
        warnings: what TF logs when the policy is made.

    Raises:
        InvalidType: the name is not a string.
        InvalidValue: the name is unknown, or one that TF removed.
    """

    name: str
    compute_dtype: str | None = field(init=False, compare=False)
    variable_dtype: str | None = field(init=False, compare=False)
    warnings: tuple[str, ...] = field(init=False, compare=False, default=())
    dtype_names: ClassVar[Mapping[str, str]] = DTYPE_NAMES
    """The names that policies of this class take for dtypes, each with the canonical name."""
    accepted: ClassVar[str] = "Valid policies include include "
    """How the list of accepted names begins (TF 2.4 says "include" twice)."""

    def __post_init__(self) -> None:
        compute, variable = self._parsed(self.name)
        object.__setattr__(self, "compute_dtype", compute)
        object.__setattr__(self, "variable_dtype", variable)

    @cached_property
    def compute(self) -> DType:
        """The dtype layers compute in.

        Raises:
            InvalidValue: the policy is "_infer".
        """
        return self._known(self.compute_dtype)

    @cached_property
    def variable(self) -> DType:
        """The dtype of variables.

        Raises:
            InvalidValue: the policy is "_infer".
        """
        return self._known(self.variable_dtype)

    @property
    def plain(self) -> Policy:
        """The policy beneath a quantization: itself where there is none."""
        return self

    def of_layer(self, path: str) -> Policy:
        """Return the policy of a layer that names none: itself, unless it is a map."""
        return self

    def _known(self, name: str | None) -> DType:
        if name is None:
            raise InvalidValue(f"Policy {self.name!r} has no dtype of its own; give it a name such as 'float32'.")
        return as_dtype(name.removesuffix(_REF))

    @classmethod
    def _parsed(cls, name: Any) -> tuple[str | None, str | None]:
        """Return the compute and the variable dtype of a policy name."""
        with located("name"):
            _check_name(name)
            if name in MIXED:
                return MIXED[name]
            if name in cls.dtype_names:
                return cls.dtype_names[name], cls.dtype_names[name]
            raise InvalidValue(
                f"Cannot convert value {name} to a mixed precision Policy. {cls.accepted}'mixed_float16', "
                "'mixed_bfloat16', and the name of any dtype such as 'float32'.",
                code="unknown_policy",
            )

    def __repr__(self) -> str:
        return f'<Policy "{self.name}">'

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments that make this policy again."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a policy of what ``get_config`` returned; a ``loss_scale`` is dropped unread, as TF does."""
        arguments = keras_config.check_arguments(cls.__name__, config, required=("name",), optional=("loss_scale",))
        return cls(arguments["name"])


@dataclass(frozen=True, repr=False)
class PolicyV1(Policy):
    """The deprecated ``tf.keras.mixed_precision.experimental.Policy``: a policy with a loss scale for models.

    Args:
        name: as of ``Policy``.
        loss_scale: anything that ``engine.loss_scale.get`` takes; "auto" is dynamic for "mixed_float16", else none.

    Raises:
        InvalidType, InvalidValue: as ``Policy`` for the name, as ``engine.loss_scale.get`` for the loss scale.
    """

    loss_scale: LossScale | None = None
    is_default: bool = field(init=False)

    def __init__(self, name: str, loss_scale: Any = "auto") -> None:
        object.__setattr__(self, "name", name)
        self.__post_init__()
        given = _default(name) if _is_auto(loss_scale) else loss_scale
        object.__setattr__(self, "is_default", _is_auto(loss_scale))
        object.__setattr__(self, "warnings", loss_scale_warnings(self, given))
        object.__setattr__(self, "loss_scale", _got(given))

    def __repr__(self) -> str:
        return f'<PolicyV1 "{self.name}", loss_scale={self.loss_scale}>'

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments that make this policy again; "auto" is left out."""
        if self.is_default:
            return {"name": self.name}
        return {"name": self.name, "loss_scale": loss_scale.serialize(self.loss_scale)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a policy of what ``get_config`` returned, with its loss scale."""
        arguments = keras_config.check_arguments(cls.__name__, config, required=("name",), optional=("loss_scale",))
        if isinstance(arguments.get("loss_scale"), dict):
            with located("loss_scale"):
                arguments["loss_scale"] = loss_scale.deserialize(arguments["loss_scale"])
        return cls(**arguments)


def is_dtype_name(name: Any) -> bool:
    """Whether TF 2.4 takes a string for the name of a dtype."""
    return isinstance(name, str) and name in DTYPE_NAMES


def loss_scale_warnings(policy: Policy, given: Any) -> tuple[str, ...]:
    """Return what TF logs when a PolicyV1 of this name is given a loss scale, also where it then refuses it.

    Args:
        policy: a policy of the same name.
        given: the loss scale as it was passed (and "auto" already replaced): the text quotes it.
    """
    if not given or policy.compute_dtype in (None, "float16"):
        return ()
    text = (
        "Creating a Policy with a loss scale is only useful for float16 policies. "
        f"You passed loss_scale={given!r} for policy {policy.name}. Consider not passing any loss_scale instead."
    )
    return (text,)


def _is_auto(identifier: Any) -> bool:
    return isinstance(identifier, str) and identifier == "auto"


def _default(name: str) -> str | None:
    return "dynamic" if name == "mixed_float16" else None


def _got(identifier: Any) -> LossScale | None:
    with located("loss_scale"):
        return loss_scale.get(identifier)


def _check_name(name: Any) -> None:
    if isinstance(name, DType):
        raise InvalidType(
            f"'name' must be a string, not a DType. Instead, pass DType.name. Got: {name.name}", code="invalid_name"
        )
    if not isinstance(name, str):
        raise InvalidType(f"'name' must be a string, but got: {name}", code="invalid_name")
    if name.endswith("_float32_vars"):
        raise InvalidValue(
            "Policies ending in '_float32_vars' have been removed from TensorFlow."
            f"{_REMOVED_HINTS.get(name, '')} Got policy name: '{name}'",
            code="removed_policy",
        )
