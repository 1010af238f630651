"""Requests and answers of `/v1/policies*`."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field

from worker.specs.dialects import Dialect
from worker.specs.loss_scales import LossScaleShape
from worker.specs.notices import Fault, Notice
from worker.specs.shape import Config, Spec

ClassName: TypeAlias = Literal[
    "Policy",
    "PolicyV1",
    "DTypePolicy",
    "FloatDTypePolicy",
    "QuantizedDTypePolicy",
    "QuantizedFloat8DTypePolicy",
    "Int4DTypePolicy",
    "GPTQDTypePolicy",
    "AWQDTypePolicy",
    "DTypePolicyMap",
]
EXAMPLE = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": None}}
KERAS3_EXAMPLE = {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8", "source_name": "mixed_bfloat16"}}


class PolicyShape(Spec):
    """A policy in an answer."""

    class_name: str = Field(examples=["Policy"])
    name: str = Field(examples=["mixed_float16"])
    compute_dtype: str | None = Field(description='Null for "_infer".', examples=["float16"])
    variable_dtype: str | None = Field(description='Null for "_infer".', examples=["float32"])
    quantization_mode: str | None = Field(default=None, description="Of quantized policies of Keras 3.")
    loss_scale: LossScaleShape | None = Field(description="Null for none.")
    config: dict[str, Any] = Field(description="Exactly what `get_config()` returns.")


class PolicyRequest(Spec):
    """A policy as anyone may have it."""

    policy: Config = Field(
        description="The name of a policy or dtype, null for the default, or a serialized policy.",
        examples=["mixed_float16", EXAMPLE, KERAS3_EXAMPLE],
    )
    dialect: Dialect = Field(
        default="tf2.4",
        description="Whose rules hold. Left out, a serialized policy of a class or module that only tf_keras or "
        "Keras 3 writes is read by their rules, and the answer's `dialect` says so.",
    )
    class_name: ClassName | None = Field(
        default=None,
        description="Call this class with `policy` as its name (in Keras 3 also an object of its arguments), rather "
        "than read `policy` freely.",
    )
    loss_scale: Config = Field(
        default="auto",
        description='Loss scale of a PolicyV1, or of a policy of TF 2.3: a number, "dynamic", "auto", null or a '
        "serialized one. Policies of tf_keras and Keras 3 have none.",
    )


class PolicyValidateRequest(PolicyRequest):
    """A policy to look at."""


class PolicySerializeRequest(PolicyRequest):
    """A policy to write."""

    to: Dialect | None = Field(default=None, description="Whose form to write; null for that of the policy itself.")


class PolicyDeserializeRequest(Spec):
    """A policy to read."""

    config: Config = Field(description="What `serialize` returned: a dtype name, null, or a dict.", examples=[EXAMPLE])
    dialect: Dialect = Field(default="tf2.4", description="Whose form it is.")


class PolicyReport(Spec):
    """Whether it is a policy. A report about something that is none is an answer like any other."""

    valid: bool
    dialect: str = Field(description="Whose rules held.", examples=["tf2.4"])
    policy: PolicyShape | None
    dropped: tuple[str, ...] = Field(default=(), description="Places in the request that the policy does not hold.")
    errors: tuple[Fault, ...] = ()
    warnings: tuple[Notice, ...] = ()


class PolicySerialized(Spec):
    """A policy as text: a plain name for a dtype, null for "_infer", else a dict."""

    serialized: dict[str, Any] | str | None
    dialect: str = Field(description="Whose form it is.")
    dropped: tuple[str, ...] = Field(default=(), description="Places in the request that the text does not hold.")
    warnings: tuple[Notice, ...] = ()


class PolicyDeserialized(Spec):
    """A policy that was read, and what did not make it."""

    policy: PolicyShape
    dropped: tuple[str, ...] = Field(default=(), description='Places in the input that are lost; "class" for PolicyV1.')
    warnings: tuple[Notice, ...] = ()


class PolicyListing(Spec):
    """A policy there is."""

    name: str
    compute_dtype: str | None
    variable_dtype: str | None
    default_loss_scale: LossScaleShape | None = Field(
        description="What PolicyV1 takes for `auto`; null for policies that it does not know."
    )
    dialects: tuple[str, ...] = Field(description="Those that know it by that name.")


class DTypeListing(Spec):
    """A dtype there is; limits that a dtype does not have are 0."""

    name: str
    aliases: tuple[str, ...]
    bits: int
    exponent_bits: int
    mantissa_bits: int
    max: float
    min_normal: float
    min_subnormal: float
    epsilon: float


class PolicyList(Spec):
    """Every policy and dtype there is."""

    object: Literal["list"] = "list"
    data: tuple[PolicyListing, ...]
    dtypes: tuple[DTypeListing, ...]
