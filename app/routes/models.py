"""Models before they are trained: stateless, the pure function is in `worker.specs.inspect_model`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app.checks import inspected
from app.deps import ServicesDep
from app.json_route import StatelessRoute
from app.problems import declared
from app.unread import Unread
from worker.specs.inspection import Inspection, InspectRequest

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=StatelessRoute)


@router.post("/inspect", response_model=Inspection, responses=declared(400, 413, 415, 422))
async def inspect_model(request: Annotated[Unread[InspectRequest], Body()], services: ServicesDep) -> Response:
    """Tell dtypes, loss scaling, memory and what is doubtful about a model's numerics, before anything is allocated."""
    return Response(await services.checked(inspected, request.body), media_type="application/json")
