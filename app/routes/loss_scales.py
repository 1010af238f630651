"""Loss scales: stateless, the pure functions are in `worker.specs.loss_scales`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app.checks import simulated
from app.deps import ServicesDep
from app.json_route import StatelessRoute
from app.problems import declared
from app.unread import Unread
from worker.specs import loss_scales
from worker.specs.loss_scales import (
    LossScaleDeserialized,
    LossScaleDeserializeRequest,
    LossScaleReport,
    LossScaleSerialized,
    LossScaleSerializeRequest,
    LossScaleValidateRequest,
)
from worker.specs.simulation import Simulated, SimulateRequest

router = APIRouter(prefix="/v1/loss-scales", tags=["loss scales"], route_class=StatelessRoute)

_PROBLEMS = declared(400, 413, 415, 422)


@router.post("/validate", responses=_PROBLEMS)
def validate_loss_scale(request: LossScaleValidateRequest) -> LossScaleReport:
    """Say whether something is a loss scale, and which; a report about something that is none is a 200 too."""
    return loss_scales.validate_loss_scale(request)


@router.post("/serialize", responses=_PROBLEMS)
def serialize_loss_scale(request: LossScaleSerializeRequest) -> LossScaleSerialized:
    """Write a loss scale as Keras does."""
    return loss_scales.serialize_loss_scale(request)


@router.post("/deserialize", responses=_PROBLEMS)
def deserialize_loss_scale(request: LossScaleDeserializeRequest) -> LossScaleDeserialized:
    """Read what Keras wrote."""
    return loss_scales.deserialize_loss_scale(request)


@router.post("/simulate", response_model=Simulated, responses=_PROBLEMS)
async def simulate_loss_scale(request: Annotated[Unread[SimulateRequest], Body()], services: ServicesDep) -> Response:
    """Move a loss scale through steps, under the rule of any system; exact to the bit."""
    return Response(await services.checked(simulated, request.body), media_type="application/json")
