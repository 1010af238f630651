"""Which error becomes which answer: one table, looked up along the error's classes.

Errors of the app itself (all others come from the rooms below and know nothing of HTTP):

HTTPException (Starlette)      unknown route, wrong method
├── BodyNotJson                400, from app.finite_json
├── BodyTooLarge               413, from app.finite_json
└── Refused                    a problem that a route words itself
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.openapi import methods_at
from app.problems import NO_RETRY, Problem
from app.process_pool import TooCostly
from app.thread_pools import NoThread
from engine.errors import EngineError
from worker.jobs.artifacts import Unreachable
from worker.jobs.errors import FileInUse, IdempotencyMismatch, JobNotFound, TooManyWebhooks, TransitionRefused
from worker.specs.bounds import MOST_FAULTS
from worker.specs.errors import FieldError, SpecError, from_engine
from worker.specs.files.content import BadRows

logger = logging.getLogger(__name__)


class Refused(HTTPException):
    """A problem that a route words itself."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status, problem.detail)
        self.problem = problem


def _refused(error: Refused) -> Problem:
    return error.problem


_HTTP_CODES: Mapping[int, str] = MappingProxyType(
    {
        400: "body_not_json",
        404: "route_not_found",
        405: "method_not_allowed",
        413: "body_too_large",
        415: "unsupported_media_type",
        416: "range_not_satisfiable",
    }
)


def _http(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    code = _HTTP_CODES.get(error.status_code, phrase.lower().replace(" ", "_").replace("-", "_"))
    detail = error.detail if error.detail != phrase else _HTTP_DETAILS.get(error.status_code, phrase + ".")
    return Problem(error.status_code, code, detail, headers=dict(error.headers or {}))


_HTTP_DETAILS: Mapping[int, str] = MappingProxyType(
    {
        404: "There is no such address; /openapi.json lists them.",
        405: "This address does not know that method; the Allow header lists those it knows.",
    }
)


def _spec(error: SpecError) -> Problem:
    return invalid(error.errors)


def _bad_rows(error: BadRows) -> Problem:
    first, listed = error.errors[0], error.errors[:MOST_FAULTS]
    more = (
        f" There are {error.total:,} such cells or rows, of which errors lists {len(listed)}."
        if error.total > 1
        else ""
    )
    return Problem(422, "data_invalid", first.message + more, listed)


def _file_in_use(error: FileInUse) -> Problem:
    return Problem(409, "file_in_use", str(error), headers=NO_RETRY)


def _engine(error: EngineError) -> Problem:
    return invalid((from_engine(error, {}),))


def invalid(errors: tuple[FieldError, ...]) -> Problem:
    """Return the 422 of a body whose parts are wrong."""
    first, errors = errors[0], errors[:MOST_FAULTS]
    more = f" (and {len(errors) - 1} more in errors)" if len(errors) > 1 else ""
    return Problem(422, first.code if len(errors) == 1 else "invalid_request", first.message + more, errors)


def _request(error: RequestValidationError) -> Problem:
    """Of parameters only: the bodies are worded by `app.json_route`, which knows their model."""
    return invalid(tuple(map(_parameter, error.errors())))


def _parameter(fault: Mapping[str, Any]) -> FieldError:
    """A query, path or header parameter has no place in the body: the message names it, the pointer is empty."""
    where, name = (*fault["loc"], "")[:2]
    message = str(fault["msg"])
    text = f"The {where} parameter {name!r}: {message[:1].lower()}{message[1:]}. Received: {fault['input']!r}."
    return FieldError("invalid_parameter", "ValueError", text, "")


def _not_found(error: JobNotFound) -> Problem:
    return Problem(404, "not_found", str(error))


def _transition(error: TransitionRefused) -> Problem:
    return Problem(409, "transition_refused", str(error), headers=NO_RETRY)


def _idempotency(error: IdempotencyMismatch) -> Problem:
    return Problem(422, "idempotency_mismatch", str(error))


def _too_many_webhooks(error: TooManyWebhooks) -> Problem:
    return Problem(422, "resource_limit", str(error))


def _store_busy(_error: Exception) -> Problem:
    """The database's own words stay inside: they may hold addresses and statements."""
    return Problem(503, "store_unavailable", "The job store does not answer; try again.", headers={"Retry-After": "1"})


def _no_thread(_error: Exception) -> Problem:
    text = "The service has more such requests than it can begin, and has done nothing of this one; send it again."
    return Problem(503, "service_busy", text, headers={"Retry-After": "1"})


def _too_costly(error: TooCostly) -> Problem:
    text = (
        f"To check this takes more than {error.seconds:g} s or {error.memory_bytes:,} bytes of memory "
        "(HALFSTEP_CHECK_SECONDS, HALFSTEP_CHECK_MEMORY_BYTES); nothing was queued. Send a smaller job, or less data."
    )
    return Problem(413, "resource_limit", text)


def _files_away(_error: Exception) -> Problem:
    return Problem(
        503, "artifacts_unavailable", "The store of files does not answer; try again.", headers={"Retry-After": "1"}
    )


def _gone(_error: Exception) -> Problem:
    """Nobody reads it, but the log and the figures tell whose fault it was."""
    return Problem(400, "body_incomplete", "The connection ended before the body did.")


def _unexpected(_error: Exception) -> Problem:
    return Problem(500, "internal", "Something went wrong here; the server's log has it under the request id.")


TRANSLATIONS: Mapping[type[Exception], Callable[[Any], Problem]] = MappingProxyType(
    {
        Refused: _refused,
        HTTPException: _http,
        RequestValidationError: _request,
        SpecError: _spec,
        BadRows: _bad_rows,
        EngineError: _engine,
        JobNotFound: _not_found,
        TransitionRefused: _transition,
        FileInUse: _file_in_use,
        IdempotencyMismatch: _idempotency,
        TooManyWebhooks: _too_many_webhooks,
        OperationalError: _store_busy,
        PoolTimeout: _store_busy,
        NoThread: _no_thread,
        TooCostly: _too_costly,
        Unreachable: _files_away,
        ClientDisconnect: _gone,
        Exception: _unexpected,
    }
)
"""From an error class to the problem it is answered with; the nearest class of the error's MRO counts."""


def problem_of(error: Exception) -> Problem:
    """Return the problem that `error` is answered with."""
    for kind in type(error).__mro__:
        if kind in TRANSLATIONS:
            return TRANSLATIONS[kind](error)
    return _unexpected(error)


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED and (methods := methods_at(request.app, request.url.path)):
        problem = replace(problem, headers={**problem.headers, "Allow": ", ".join(methods)})
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        request_id = getattr(request.state, "request_id", "")
        logger.error("%s %s -> %d, %s: %r", request.method, request.url.path, problem.status, request_id, error)
    return problem.response(request)


def install(app: FastAPI) -> None:
    """Let every error of `app` be answered from the table."""
    for kind in TRANSLATIONS:
        app.add_exception_handler(kind, _answer)
