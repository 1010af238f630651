"""Optimizers that scale the loss: stateless, the pure functions are in `worker.specs.optimizer_forms`."""

from __future__ import annotations

from fastapi import APIRouter

from app.json_route import StatelessRoute
from app.problems import declared
from worker.specs import optimizer_forms
from worker.specs.optimizer_forms import (
    OptimizerDeserialized,
    OptimizerDeserializeRequest,
    OptimizerSerialized,
    OptimizerSerializeRequest,
)

router = APIRouter(prefix="/v1/optimizers", tags=["optimizers"], route_class=StatelessRoute)

_PROBLEMS = declared(400, 413, 415, 422)


@router.post("/serialize", responses=_PROBLEMS)
def serialize_optimizer(request: OptimizerSerializeRequest) -> OptimizerSerialized:
    """Write an optimizer in the format of TF 2.3, TF 2.4, tf_keras or Keras 3; what is lost is in `dropped`."""
    return optimizer_forms.serialize_optimizer(request)


@router.post("/deserialize", responses=_PROBLEMS)
def deserialize_optimizer(request: OptimizerDeserializeRequest) -> OptimizerDeserialized:
    """Read an optimizer that a line of Keras wrote; what is lost on the way is in `dropped`."""
    return optimizer_forms.deserialize_optimizer(request)
