"""Models before they are trained: stateless, the pure function is in `worker.specs.inspect_model`."""

from __future__ import annotations

from fastapi import APIRouter

from app.deps import ServicesDep
from app.json_route import StatelessRoute
from app.problems import declared
from app.thread_pools import in_work
from worker.specs.inspect_model import inspect_model as look_at
from worker.specs.inspection import Inspection, InspectRequest
from worker.specs.uploads import Uploads

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=StatelessRoute)


@router.post("/inspect", responses=declared(400, 413, 415, 422))
@in_work
def inspect_model(request: InspectRequest, services: ServicesDep) -> Inspection:
    """Tell dtypes, loss scaling, memory and what is doubtful about a model's numerics, before anything is allocated."""
    return look_at(request, services.shared.limits, Uploads(services.files))
