"""The OpenAPI document, and a page that shows it: our own files, so that it works where there is no internet."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, RedirectResponse, Response

from app.finite_json import FiniteJSONResponse
from app.protection import PAGE_POLICY

router = APIRouter(include_in_schema=False)

WEB = Path(__file__).parent.parent / "web"
_POLICY = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}


@router.get("/openapi.json")
def openapi_document(request: Request) -> Response:
    """Send the OpenAPI document."""
    return FiniteJSONResponse(request.app.openapi())


@router.get("/docs")
def docs() -> Response:
    """Send the page that shows the OpenAPI document."""
    return FileResponse(WEB / "docs.html", headers=_POLICY)


@router.get("/docs.css")
def docs_style() -> Response:
    """Send the page's style."""
    return FileResponse(WEB / "docs.css", headers=_POLICY)


@router.get("/docs.js")
def docs_script() -> Response:
    """Send the page's script."""
    return FileResponse(WEB / "docs.js", headers=_POLICY)


@router.get("/")
def index() -> Response:
    """Lead whoever opens the service in a browser to the page."""
    return RedirectResponse("/docs")
