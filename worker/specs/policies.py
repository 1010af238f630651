"""What `/v1/policies*` does: pure functions from requests to answers, in the rules of any line of Keras."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from engine.dtype_policy import DTypePolicy
from engine.dtype_policy_map import DTypePolicyMap
from engine.errors import EngineError
from engine.policy import Policy, PolicyV1, loss_scale_warnings
from engine.serialization.keras3 import serialize_policy as keras3_dict
from engine.serialization.keras3 import stripped_names
from worker.specs import policy_translation
from worker.specs.dialects import DIALECTS, Dialect, chosen, dialect_of_policy, is_keras3_policy_class
from worker.specs.errors import FieldError, SpecError, from_engine
from worker.specs.loss_scales import shape_of
from worker.specs.notices import Fault, Notice, dropped_notices, keras_notices
from worker.specs.policy_dialects import POLICY_DIALECTS, AnyPolicy
from worker.specs.policy_shapes import (
    PolicyDeserialized,
    PolicyDeserializeRequest,
    PolicyReport,
    PolicyRequest,
    PolicySerialized,
    PolicySerializeRequest,
    PolicyShape,
    PolicyValidateRequest,
)
from worker.specs.precision_names import suggestion

_UNSCALED = (None, "auto")
"""Loss scales beside a policy that cannot have one, with which nothing is lost."""


@dataclass(frozen=True)
class _Made:
    policy: AnyPolicy
    dropped: tuple[str, ...] = ()


def validate_policy(request: PolicyValidateRequest) -> PolicyReport:
    """Say whether it is a policy, and which."""
    dialect = _dialect_of(request)
    try:
        made = _made(request, dialect)
    except SpecError as error:
        faults = tuple(Fault.of(fault) for fault in error.errors)
        warnings = (*_said_before(request, dialect), *_elsewhere(request, dialect), *_other_name(request))
        return PolicyReport(valid=False, dialect=dialect, policy=None, errors=faults, warnings=warnings)
    return PolicyReport(
        valid=True,
        dialect=dialect,
        policy=_shape(made.policy, dialect),
        dropped=made.dropped,
        warnings=(
            *_logged(made.policy, "/policy"),
            *dropped_notices(made.dropped, type(made.policy).__name__),
            *_stripped(_stripped_places(made.policy)),
        ),
    )


def serialize_policy(request: PolicySerializeRequest) -> PolicySerialized:
    """Write a policy as a line of Keras does, by default the one that it is of.

    Raises:
        SpecError: it is none, or the other line has nothing like it.
    """
    dialect = _dialect_of(request)
    made = _made(request, dialect)
    logged = _logged(made.policy, "/policy")
    own = POLICY_DIALECTS[dialect].serialize(made.policy)
    if request.to in (None, dialect):
        stripped = _stripped_places(made.policy)
        return PolicySerialized(
            serialized=own,
            dialect=dialect,
            dropped=(*made.dropped, *stripped),
            warnings=(*logged, *dropped_notices(made.dropped, "the text"), *_stripped(stripped)),
        )
    try:
        written = policy_translation.written(own, dialect, request.to)
    except EngineError as error:
        raise SpecError([from_engine(error, request.given(), "policy")]) from error
    places = dict.fromkeys(map(partial(_place, request), written.dropped))
    return PolicySerialized(
        serialized=written.serialized,
        dialect=request.to,
        dropped=tuple(dict.fromkeys((*made.dropped, *places))),
        warnings=(*logged, *written.warnings),
    )


def deserialize_policy(request: PolicyDeserializeRequest) -> PolicyDeserialized:
    """Read what a line of Keras wrote, as it does: TF 2.4 takes PolicyV1 for Policy, and drops its loss scale.

    Raises:
        SpecError: it is no serialized policy.
    """
    try:
        read = POLICY_DIALECTS[request.dialect].deserialize(request.config)
    except EngineError as error:
        fault = from_engine(error, request.given(), "config")
        # TensorFlow's own words are left as they are; Keras 3 has none for a class that it does not know.
        hint = _readers_hint(request) if request.dialect == "keras3" else ""
        raise SpecError([replace(fault, message=f"{fault.message}{hint}")]) from error
    return PolicyDeserialized(
        policy=_shape(read.value, request.dialect),
        dropped=read.dropped,
        warnings=keras_notices(read.warnings, "/config"),
    )


def _dialect_of(request: PolicyRequest) -> Dialect:
    if "dialect" not in request.model_fields_set and is_keras3_policy_class(request.class_name):
        return "keras3"
    return chosen(request, "policy", dialect_of_policy)


def _made(request: PolicyRequest, dialect: Dialect) -> _Made:
    """Return the policy of a request, and what of the request it does not hold.

    Raises:
        SpecError: it is none.
    """
    rules = POLICY_DIALECTS[dialect]
    given = {"loss_scale": request.loss_scale} if "loss_scale" in request.model_fields_set else {}
    if dialect in ("tf_keras", "keras3") and request.loss_scale in _UNSCALED:
        given = {}
    try:
        if request.class_name is not None:
            return _Made(rules.make(request.class_name, request.policy, given))
        read = rules.read(request.policy)
        if not given:
            return _Made(read.value, tuple(f"policy.{place}" for place in read.dropped))
        replaced = isinstance(read.value, PolicyV1) and not read.value.is_default
        made = rules.make(rules.scaled, read.value.name, given)
        return _Made(made, ("policy.config.loss_scale",) * replaced)
    except EngineError as error:
        raise SpecError([_placed(error, request)]) from error


def _placed(error: EngineError, request: PolicyRequest) -> FieldError:
    """Arguments of a call are members of the request; all else lies inside `policy`."""
    outer = () if error.path[:1] in (("loss_scale",), ("class_name",)) else ("policy",)
    return from_engine(error, request.given(), *outer)


def _place(request: PolicyRequest, place: str) -> str:
    """Return where in the request a place in the serialized policy comes from."""
    if "loss_scale" in place and "loss_scale" in request.model_fields_set:
        return "loss_scale"
    return f"policy.{place}" if place and isinstance(request.policy, dict) else "policy"


def _shape(policy: AnyPolicy, dialect: Dialect) -> PolicyShape:
    name = policy.name() if isinstance(policy, DTypePolicyMap) else policy.name
    dtypes = policy.default_policy() if isinstance(policy, DTypePolicyMap) else policy
    return PolicyShape(
        class_name=POLICY_DIALECTS[dialect].class_name(policy),
        name=name,
        compute_dtype=dtypes.compute_dtype,
        variable_dtype=dtypes.variable_dtype,
        quantization_mode=dtypes.quantization_mode if isinstance(dtypes, DTypePolicy) else None,
        loss_scale=shape_of(policy.loss_scale) if isinstance(policy, PolicyV1) else None,
        config=keras3_dict(policy)["config"] if isinstance(policy, DTypePolicyMap) else policy.get_config(),
    )


def _logged(policy: AnyPolicy, pointer: str) -> tuple[Notice, ...]:
    """Return what TF logs when it makes a policy."""
    return keras_notices(policy.warnings, pointer) if isinstance(policy, Policy) else ()


def _stripped_places(policy: AnyPolicy) -> tuple[str, ...]:
    return tuple(f"policy.{place}" for place in stripped_names(policy)) if isinstance(policy, DTypePolicyMap) else ()


def _stripped(places: tuple[str, ...]) -> tuple[Notice, ...]:
    """Tell of the names that Keras 3 leaves out where it writes a map without a default of its own."""
    if not places:
        return ()
    text = (
        "Keras 3 writes a DTypePolicyMap whose default_policy is null without the names of its policies, and takes "
        "them off the map itself: read again, all of them are the global policy. Give it a default_policy."
    )
    return (Notice(code="names_stripped", message=text, pointer="/policy"),)


def _said_before(request: PolicyRequest, dialect: Dialect) -> tuple[Notice, ...]:
    """Return what TF logs about a loss scale before it refuses it."""
    rules = POLICY_DIALECTS[dialect]
    if "loss_scale" not in request.model_fields_set or request.class_name not in (None, "PolicyV1"):
        return ()
    try:
        policy = rules.read(request.policy).value
        texts = loss_scale_warnings(policy, request.loss_scale) if isinstance(policy, Policy) else ()
    except EngineError:
        return ()
    return keras_notices(texts, "/loss_scale")


def _elsewhere(request: PolicyRequest, dialect: Dialect) -> tuple[Notice, ...]:
    """Tell of the other lines that would take what this one refuses."""
    if request.class_name is not None:
        return ()
    takers = [other for other in DIALECTS if other != dialect and _takes(request, other)]
    if not takers:
        return ()
    text = f"{', '.join(takers)} would take it; send that as `dialect` to see what it is there."
    return (Notice(code="other_dialect", message=text, pointer="/policy"),)


def _other_name(request: PolicyRequest) -> tuple[Notice, ...]:
    """Ask whether a policy of Keras was meant by the name that another system has for it."""
    config = request.policy.get("config") if isinstance(request.policy, dict) else None
    name = config.get("name") if isinstance(config, dict) else request.policy
    text = suggestion(name).lstrip()
    return (Notice(code="other_name", message=text, pointer="/policy"),) if text else ()


def _readers_hint(request: PolicyDeserializeRequest) -> str:
    """Return who would read a dict that this line refuses, and how to have it in the form of this line."""
    readers = [other for other in DIALECTS if other != request.dialect and _reads(request.config, other)]
    if not readers or not isinstance(request.config, dict):
        return ""
    return (
        f" {', '.join(readers)} would read it; send that as `dialect`, or convert it: POST /v1/policies/serialize with "
        f'`policy` as it is, `dialect` "{readers[0]}" and `to` "{request.dialect}".'
    )


def _reads(config: object, dialect: Dialect) -> bool:
    try:
        POLICY_DIALECTS[dialect].deserialize(config)
    except EngineError:
        return False
    return True


def _takes(request: PolicyRequest, dialect: Dialect) -> bool:
    try:
        _made(request, dialect)
    except SpecError:
        return False
    return True
