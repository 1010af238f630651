"""A route that knows its query parameters: a misspelt filter is refused, not forgotten."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_args, get_origin

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


@dataclass(frozen=True)
class _Known:
    """The query parameters of a route.

    Attributes:
        once: names that stand for one value.
        often: names that may come several times, each with a value of a list.
        keyed: names of objects, whose values come as `name[key]`, each key once.
    """

    once: tuple[str, ...]
    often: tuple[str, ...]
    keyed: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.once, *self.often, *self.keyed)

    def fault(self, name: str, count: int) -> FieldError | None:
        """Return what is wrong with a name that comes so many times, or None."""
        outer = name.partition("[")[0]
        if outer in self.keyed:
            if not _KEYED.fullmatch(name):
                text = (
                    f"Received the query parameter {name!r}; a key is expected in its brackets, as in '{outer}[key]'."
                )
                return FieldError("unknown_parameter", "ValueError", text, "")
        elif name not in self.names:
            return _unknown(name, self.names)
        if count > 1 and name not in self.often:
            text = f"The query parameter {name!r} came {count} times, and stands for one value: send it once."
            return FieldError("repeated_parameter", "ValueError", text, "")
        return None


_KEYED = re.compile(r"([^\[]+)\[(.+)\]", re.DOTALL)


def keyed(request: Request, name: str) -> dict[str, str]:
    """Return the values of an object in the query, sent as `name[key]=value`, by key."""
    matches = ((_KEYED.fullmatch(given), value) for given, value in request.query_params.items())
    return {match[2]: value for match, value in matches if match and match[1] == name}


def query_check(route: APIRoute) -> Callable[[Request], None]:
    """Return what refuses a request whose query has names that the route does not read, or one value twice.

    It reads those that it declares, and those that its part of the OpenAPI document tells of because the endpoint reads
    them by itself (`metadata[team]`).
    """
    described = (route.openapi_extra or {}).get("parameters", ())
    declared = dict(_declared(route.dependant))
    known = _Known(
        once=tuple(name for name, is_list in declared.items() if not is_list),
        often=tuple(name for name, is_list in declared.items() if is_list),
        keyed=tuple(parameter["name"] for parameter in described if parameter["in"] == "query"),
    )

    def check(request: Request) -> None:
        if not request.scope["query_string"]:
            return
        counts = Counter(name for name, _ in request.query_params.multi_items())
        faults = (known.fault(name, count) for name, count in counts.items())
        found = tuple(islice((fault for fault in faults if fault is not None), MOST_FAULTS))
        if found:
            raise Refused(invalid(found))

    return check


def _is_list(annotation: Any) -> bool:
    """Whether a parameter is a list, or may be one."""
    return get_origin(annotation) is list or any(get_origin(kind) is list for kind in get_args(annotation))


def _declared(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield the query parameters of an endpoint and of what it depends on, and whether they are lists."""
    for field in dependant.query_params:
        yield field.alias, _is_list(field.field_info.annotation)
    for dependency in dependant.dependencies:
        yield from _declared(dependency)


def _unknown(name: str, known: tuple[str, ...]) -> FieldError:
    accepted = f"Accepted are {', '.join(map(repr, known))}." if known else "This address takes none: leave it out."
    return FieldError("unknown_parameter", "ValueError", f"There is no query parameter {name!r} here. {accepted}", "")
