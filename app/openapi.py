"""The OpenAPI document: FastAPI's, with our problems in place of its own error shapes."""

from __future__ import annotations

import json
import re
from threading import Lock
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from app.auth import scope_for
from app.problems import ProblemShape, declared

DESCRIPTION = """\
POST a Keras model config, a dtype policy and a loss scale; workers train it in a numpy engine that reproduces float16,
bfloat16 and float8 arithmetic to the bit; you get the weights back, and which steps were skipped and why.

Errors are `application/problem+json` (RFC 9457) with `errors[]` that carry JSON pointers, and an `error` member for
clients made for OpenAI's API. NaN and infinity never appear bare: they are `null`, named in a member `nonfinite`.
"""

_PARAMETER = re.compile(r"\{[^}]+\}")
_SCHEME = "apiKey"
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, where the service asks for one. The scopes it needs are listed with each operation.",
}
_FASTAPI_ERRORS = ("HTTPValidationError", "ValidationError")


def operation_id(route: APIRoute) -> str:
    """Return the route function's name: what generated clients call the method."""
    return route.name


def methods_at(app: FastAPI, path: str) -> list[str]:
    """Return the methods that an address has; the framework itself looks no further than one route."""
    found = (route for route in iter_route_contexts(app.routes) if _matches(route.path_format or "", path))
    return sorted({method for route in found for method in route.methods or ()})


def _matches(template: str, path: str) -> bool:
    return re.fullmatch(_PARAMETER.sub("[^/]+", template), path) is not None


def install(app: FastAPI) -> None:
    """Give `app` its document, made at the first look; whoever looks meanwhile waits for the same one."""
    making = Lock()

    def document() -> dict[str, Any]:
        with making:
            if app.openapi_schema is None:
                app.openapi_schema = _document(app)
            return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version=app.openapi_version,
        summary=app.summary,
        description=app.description,
        license_info=app.license_info,
        servers=app.servers or None,
        routes=app.routes,
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _FASTAPI_ERRORS:
        schemas.pop(name, None)
    problem = ProblemShape.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas[ProblemShape.__name__] = problem
    document["components"]["securitySchemes"] = {_SCHEME: _BEARER}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _forget(operation)
            _guard(operation, scope_for(method.upper(), path))
    return document


def _forget(operation: dict[str, Any]) -> None:
    """Take out the 422 that the framework makes up for a route that declares none and answers 400 in its place."""
    answers = operation["responses"]
    if _FASTAPI_ERRORS[0] in json.dumps(answers.get("422")):
        del answers["422"]


def _guard(operation: dict[str, Any], scope: str | None) -> None:
    """Say what a key must be good for, and what is answered at the gate; see `app.gate`."""
    if scope is None:
        return
    operation["security"] = [{_SCHEME: [scope]}, {}]  # or none, where the service asks for none
    for status, answer in declared(401, 403, 429).items():
        operation["responses"].setdefault(str(status), answer)
