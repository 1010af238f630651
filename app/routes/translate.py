"""Precision setups from one system to another: stateless, the pure function is in `worker.specs.translation`."""

from __future__ import annotations

from fastapi import APIRouter

from app.json_route import StatelessRoute
from app.problems import declared
from worker.specs import translation
from worker.specs.translation import Translated, TranslateRequest

router = APIRouter(prefix="/v1/translate", tags=["translate"], route_class=StatelessRoute)


@router.post("", responses=declared(400, 413, 415, 422))
def translate(request: TranslateRequest) -> Translated:
    """Write a precision setup of one system for another, with everything that is exact, approximate or dropped."""
    return translation.translate(request)
