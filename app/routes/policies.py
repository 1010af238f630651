"""Dtype policies: stateless, the pure functions are in `worker.specs.policies`."""

from __future__ import annotations

from fastapi import APIRouter

from app.json_route import StatelessRoute
from app.problems import declared
from worker.specs import policies
from worker.specs.policy_list import list_policies as listed
from worker.specs.policy_shapes import (
    PolicyDeserialized,
    PolicyDeserializeRequest,
    PolicyList,
    PolicyReport,
    PolicySerialized,
    PolicySerializeRequest,
    PolicyValidateRequest,
)

router = APIRouter(prefix="/v1/policies", tags=["policies"], route_class=StatelessRoute)

_PROBLEMS = declared(400, 413, 415, 422)


@router.post("/validate", responses=_PROBLEMS)
def validate_policy(request: PolicyValidateRequest) -> PolicyReport:
    """Say whether something is a policy, and which; a report about something that is none is a 200 too."""
    return policies.validate_policy(request)


@router.get("")
def list_policies() -> PolicyList:
    """List every policy and dtype there is."""
    return listed()


@router.post("/serialize", responses=_PROBLEMS)
def serialize_policy(request: PolicySerializeRequest) -> PolicySerialized:
    """Write a policy as Keras does."""
    return policies.serialize_policy(request)


@router.post("/deserialize", responses=_PROBLEMS)
def deserialize_policy(request: PolicyDeserializeRequest) -> PolicyDeserialized:
    """Read what Keras wrote; what is lost on the way is in `dropped`."""
    return policies.deserialize_policy(request)
