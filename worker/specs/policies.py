"""Requests and answers of `/v1/policies*`, and the pure functions between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import Field

from engine.dtypes import DTYPES, DType
from engine.errors import EngineError
from engine.keras_config import check_arguments
from engine.policy import DTYPE_NAMES, MIXED, Policy, PolicyV1, loss_scale_warnings
from engine.serialization import tf24
from worker.specs.errors import FieldError, SpecError, from_engine
from worker.specs.loss_scales import LossScaleShape, shape_of
from worker.specs.notices import Fault, Notice, keras_notices
from worker.specs.shape import Anything, Spec

#: The dialects this version speaks.
Dialect: TypeAlias = Literal["tf2.4"]
DIALECTS: tuple[Dialect, ...] = ("tf2.4",)
ClassName: TypeAlias = Literal["Policy", "PolicyV1"]
EXAMPLE = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": None}}
_CLASSES: Mapping[str, type[Policy]] = {"Policy": Policy, "PolicyV1": PolicyV1}


class PolicyShape(Spec):
    """A policy in an answer."""

    class_name: str = Field(examples=["Policy"])
    name: str = Field(examples=["mixed_float16"])
    compute_dtype: str | None = Field(description='Null for "_infer".', examples=["float16"])
    variable_dtype: str | None = Field(description='Null for "_infer".', examples=["float32"])
    loss_scale: LossScaleShape | None = Field(description="Null for none.")
    config: dict[str, Any] = Field(description="Exactly what `get_config()` returns.")


class PolicyRequest(Spec):
    """A policy as anyone may have it."""

    policy: Anything = Field(
        description="The name of a policy or dtype, null for the default, or a serialized policy.",
        examples=["mixed_float16", EXAMPLE],
    )
    dialect: Dialect = Field(default="tf2.4", description="Whose rules hold.")
    class_name: ClassName | None = Field(
        default=None, description="Call this class with `policy` as its name, rather than read `policy` freely."
    )
    loss_scale: Anything = Field(
        default="auto", description='Loss scale of a PolicyV1: a number, "dynamic", "auto", null or a serialized one.'
    )


class PolicyValidateRequest(PolicyRequest):
    """A policy to look at."""


class PolicySerializeRequest(PolicyRequest):
    """A policy to write."""

    to: Dialect = Field(default="tf2.4", description="Whose form to write.")


class PolicyDeserializeRequest(Spec):
    """A policy to read."""

    config: Anything = Field(
        description="What `serialize` returned: a dtype name, null, or a dict.", examples=[EXAMPLE]
    )
    dialect: Dialect = Field(default="tf2.4", description="Whose form it is.")


class PolicyReport(Spec):
    """Whether it is a policy. A report about something that is none is an answer like any other."""

    valid: bool
    policy: PolicyShape | None
    errors: tuple[Fault, ...] = ()
    warnings: tuple[Notice, ...] = ()


class PolicySerialized(Spec):
    """A policy as text: a plain name for a dtype, null for "_infer", else a dict."""

    serialized: dict[str, Any] | str | None
    dialect: str
    dropped: tuple[str, ...] = Field(default=(), description="Places in the input that the text does not hold.")
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
    default_loss_scale: LossScaleShape | None = Field(description="What PolicyV1 takes for `auto`.")
    dialects: tuple[str, ...]


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


def list_policies() -> PolicyList:
    """Return every policy and dtype there is."""
    names = [*(name for name in MIXED if name != "_infer"), *(name for name in DTYPES if name in DTYPE_NAMES), "_infer"]
    return PolicyList(
        data=tuple(_listing(PolicyV1(name)) for name in names), dtypes=tuple(_dtype(dtype) for dtype in DTYPES.values())
    )


def shape_of_policy(policy: Policy) -> PolicyShape:
    """Return a policy as answers show it."""
    return PolicyShape(
        class_name=type(policy).__name__,
        name=policy.name,
        compute_dtype=policy.compute_dtype,
        variable_dtype=policy.variable_dtype,
        loss_scale=shape_of(policy.loss_scale) if isinstance(policy, PolicyV1) else None,
        config=policy.get_config(),
    )


def validate_policy(request: PolicyValidateRequest) -> PolicyReport:
    """Say whether it is a policy, and which."""
    try:
        policy, dropped = _made(request)
    except SpecError as error:
        faults = tuple(Fault.of(fault) for fault in error.errors)
        return PolicyReport(valid=False, policy=None, errors=faults, warnings=_said_before(request))
    lost = tuple(
        Notice(code="dropped", message=f"`{place}` is not kept: {type(policy).__name__} has no such setting.")
        for place in dropped
    )
    warnings = (*keras_notices(policy.warnings, "/policy"), *lost)
    return PolicyReport(valid=True, policy=shape_of_policy(policy), warnings=warnings)


def serialize_policy(request: PolicySerializeRequest) -> PolicySerialized:
    """Write a policy as Keras does.

    Raises:
        SpecError: it is none.
    """
    policy, dropped = _made(request)
    return PolicySerialized(
        serialized=tf24.serialize_policy(policy),
        dialect=request.to,
        dropped=dropped,
        warnings=keras_notices(policy.warnings, "/policy"),
    )


def deserialize_policy(request: PolicyDeserializeRequest) -> PolicyDeserialized:
    """Read what Keras wrote, as Keras does: PolicyV1 comes back as Policy, and its loss scale is dropped.

    Raises:
        SpecError: it is no serialized policy.
    """
    try:
        read = tf24.deserialize_policy(request.config)
    except EngineError as error:
        raise SpecError([from_engine(error, request.given(), "config")]) from error
    return PolicyDeserialized(
        policy=shape_of_policy(read.value), dropped=read.dropped, warnings=keras_notices(read.warnings, "/config")
    )


def _made(request: PolicyRequest) -> tuple[Policy, tuple[str, ...]]:
    """Return the policy of a request, and what of the request it does not hold."""
    gives_scale = "loss_scale" in request.model_fields_set
    try:
        if request.class_name is not None:
            return _constructed(request.class_name, request.policy, request), ()
        read = tf24.read_policy(request.policy)
        if not gives_scale:
            return read.value, tuple(f"policy.{place}" for place in read.dropped)
        replaced = isinstance(read.value, PolicyV1) and not read.value.is_default
        return _constructed("PolicyV1", read.value.name, request), ("policy.config.loss_scale",) * replaced
    except EngineError as error:
        raise SpecError([_placed(error, request)]) from error


def _constructed(class_name: str, name: Any, request: PolicyRequest) -> Policy:
    given = {"loss_scale": request.loss_scale} if "loss_scale" in request.model_fields_set else {}
    optional = ("loss_scale",) if class_name == "PolicyV1" else ()
    arguments = check_arguments(class_name, {"name": name, **given}, required=("name",), optional=optional)
    return _CLASSES[class_name](**arguments)


def _placed(error: EngineError, request: PolicyRequest) -> FieldError:
    """Arguments of a call are members of the request; all else lies inside `policy`."""
    outer = () if error.path[:1] == ("loss_scale",) else ("policy",)
    return from_engine(error, request.given(), *outer)


def _said_before(request: PolicyRequest) -> tuple[Notice, ...]:
    """Return what Keras logs about a loss scale before it refuses it."""
    if "loss_scale" not in request.model_fields_set or request.class_name == "Policy":
        return ()
    try:
        policy = tf24.read_policy(request.policy).value
        texts = loss_scale_warnings(policy, request.loss_scale)
    except EngineError:
        return ()
    return keras_notices(texts, "/loss_scale")


def _listing(policy: PolicyV1) -> PolicyListing:
    return PolicyListing(
        name=policy.name,
        compute_dtype=policy.compute_dtype,
        variable_dtype=policy.variable_dtype,
        default_loss_scale=shape_of(policy.loss_scale),
        dialects=DIALECTS,
    )


def _dtype(dtype: DType) -> DTypeListing:
    return DTypeListing(
        name=dtype.name,
        aliases=dtype.aliases,
        bits=dtype.bits,
        exponent_bits=dtype.exponent_bits,
        mantissa_bits=dtype.mantissa_bits,
        max=dtype.max,
        min_normal=dtype.min_normal,
        min_subnormal=dtype.min_subnormal,
        epsilon=dtype.epsilon,
    )
