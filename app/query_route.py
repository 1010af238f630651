"""A route that knows its query parameters: a misspelt filter is refused, not forgotten."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.errors import Refused, invalid
from worker.specs.bounds import MOST_FAULTS
from worker.specs.errors import FieldError


class QueryRoute(APIRoute):
    """Refuses query parameters that the route does not declare."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Look at the names in the query before FastAPI reads those that it knows."""
        handle, check = super().get_route_handler(), query_check(self)

        async def handle_known(request: Request) -> Response:
            check(request)
            return await handle(request)

        return handle_known


def query_check(route: APIRoute) -> Callable[[Request], None]:
    """Return what refuses a request whose query has names that the route does not know.

    It knows those that it declares, and those that its part of the OpenAPI document tells of because the endpoint reads
    them by itself (`metadata[team]`).
    """
    described = (route.openapi_extra or {}).get("parameters", ())
    known = (*_declared(route.dependant), *(parameter["name"] for parameter in described if parameter["in"] == "query"))

    def check(request: Request) -> None:
        if not request.scope["query_string"]:
            return
        unknown = [name for name in request.query_params if name.partition("[")[0] not in known]
        if unknown:
            raise Refused(invalid(tuple(_unknown(name, known) for name in islice(unknown, MOST_FAULTS))))

    return check


def _declared(dependant: Dependant) -> Iterator[str]:
    """Yield the query parameters of an endpoint and of what it depends on."""
    yield from (field.alias for field in dependant.query_params)
    for dependency in dependant.dependencies:
        yield from _declared(dependency)


def _unknown(name: str, known: tuple[str, ...]) -> FieldError:
    accepted = f"Accepted are {', '.join(map(repr, known))}." if known else "This address takes none: leave it out."
    return FieldError("unknown_parameter", "ValueError", f"There is no query parameter {name!r} here. {accepted}", "")
