"""How a route of ours reads its body: any JSON, and what is wrong with it in the words of `worker.specs`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.errors import Refused, invalid
from app.finite_json import StrictJsonRequest
from app.problems import Problem
from worker.specs.errors import from_pydantic

BODY = "body"
_NO_BODY = Problem(400, "body_missing", "The request has no body; send JSON with Content-Type application/json.")
_NO_JSON = Problem(415, "unsupported_media_type", "The body must be JSON; send it with Content-Type application/json.")


class JsonRoute(APIRoute):
    """A route that words the faults of its body with their JSON pointers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler: a stricter request goes in, errors of the body come out worded."""
        handle = super().get_route_handler()
        root: Any = self.body_field.field_info.annotation if self.body_field else None

        async def handle_json(request: Request) -> Response:
            limit = request.app.state.services.settings.max_body_bytes
            request = StrictJsonRequest(request, limit)
            if root is not None and not _says_json(request):
                raise Refused(_NO_JSON if await request.body() else _NO_BODY)
            try:
                return await handle(request)
            except RequestValidationError as error:
                if root is None or not _about_body(error):
                    raise
                raise Refused(_worded(error, root)) from error

        return handle_json


def _says_json(request: Request) -> bool:
    """Whether the Content-Type is JSON, or some `+json`; a missing one is not: browsers send that across sites."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _about_body(error: RequestValidationError) -> bool:
    return any(fault["loc"][0] == BODY for fault in error.errors())


def _worded(error: RequestValidationError, root: type[BaseModel]) -> Problem:
    faults = [{**fault, "loc": fault["loc"][1:]} for fault in error.errors() if fault["loc"][0] == BODY]
    if error.body is None and faults[0]["type"] == "missing":
        return _NO_BODY
    return invalid(from_pydantic(faults, error.body, root))
