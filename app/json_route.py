"""How a route of ours reads its body: any JSON, and what is wrong with it in the words of `worker.specs`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import getclosurevars, iscoroutinefunction
from typing import Any, TypeAlias, TypeVar, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.auth import NOBODY
from app.errors import Refused, invalid, problem_of
from app.finite_json import BoundedRequest, encoded, parse
from app.problems import Problem
from app.query_route import query_check
from app.settings import AppSettings
from app.thread_pools import NoThread, ThreadPools
from app.unread import Unread
from worker.specs.errors import SpecError, read

T = TypeVar("T")
Handler: TypeAlias = Callable[[Any], Coroutine[Any, Any, Response]]

_INLINE_BYTES = 4096
"""A body up to here is read on the event loop: handing it to a thread and back would take longer."""
_NO_BODY = Problem(400, "body_missing", "The request has no body; send JSON with Content-Type application/json.")
_NO_JSON = Problem(415, "unsupported_media_type", "The body must be JSON; send it with Content-Type application/json.")


class ModelRequest(BoundedRequest):
    """A request whose JSON is the model that its route takes; a long one is read in a thread.

    Args:
        request: the one to be read.
        limit: bytes that its body may have.
        root: what the body should be.
    """

    def __init__(self, request: Request, limit: int, root: type[BaseModel]) -> None:
        super().__init__(request, limit)
        self._root = root

    async def worked(self, call: Callable[..., T], *arguments: Any) -> T:
        """Return what a call returns: made here if the body is short, else in a thread for such work.

        Raises:
            Refused: no such thread became free.
        """
        if len(await self.body()) <= _INLINE_BYTES:
            return call(*arguments)
        caller = getattr(self.state, "caller", NOBODY)
        pools: ThreadPools = self.app.state.services.pools
        try:
            return await pools.work.run(caller.tenant, call, *arguments)
        except NoThread as error:  # FastAPI would take it for a fault of the body
            raise Refused(problem_of(error)) from error

    async def json(self) -> Any:
        """Return the body as the model, or unread if the route wants it so; FastAPI takes it as it is.

        Raises:
            BodyNotJson: see `parse`.
            Refused: the body is not what the route takes.
        """
        body = await self.body()
        return Unread(body) if get_origin(self._root) is Unread else await self.worked(self._read, body)

    def _read(self, body: bytes) -> BaseModel:
        try:
            return read(self._root, parse(body))
        except SpecError as error:
            raise Refused(invalid(error.errors)) from error


class JsonRoute(APIRoute):
    """A route that words the faults of its body with their JSON pointers, and knows its query parameters."""

    @staticmethod
    def most_bytes(settings: AppSettings) -> int:
        """Return how long a body may be."""
        return settings.max_body_bytes

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler, or our own: a request that reads models goes in."""
        root: Any = self.body_field.field_info.annotation if self.body_field else None
        usual = super().get_route_handler()
        handle: Handler = _direct(self.endpoint) if self._is_plain(usual) else usual
        check_query = query_check(self)

        async def handle_json(request: Request) -> Response:
            check_query(request)
            if root is None:
                return await handle(request)
            request = ModelRequest(request, self.most_bytes(request.app.state.services.settings), root)
            if not await request.body():
                raise Refused(_NO_BODY)
            if not _says_json(request):
                raise Refused(_NO_JSON)
            return await handle(request)

        return handle_json

    def _is_plain(self, usual: Callable[[Request], Coroutine[Any, Any, Response]]) -> bool:
        """Whether it is a function from one model to another, for which FastAPI's machinery has nothing to do.

        What an including router adds (dependencies, such as a check of tokens) is known to FastAPI's handler only; if
        it cannot be read there, the handler itself is used.
        """
        taken = getclosurevars(usual).nonlocals.get("dependant")
        if not isinstance(taken, Dependant):
            return False
        others = (taken.path_params, taken.query_params, taken.header_params, taken.cookie_params, taken.dependencies)
        named = (taken.request_param_name, taken.response_param_name, taken.background_tasks_param_name)
        answers = isinstance(self.response_model, type) and issubclass(self.response_model, BaseModel)
        simple = not (any(others) or any(named) or iscoroutinefunction(self.endpoint))
        return simple and answers and len(taken.body_params) == 1 and self.status_code in {None, 200}


class StatelessRoute(JsonRoute):
    """A route that answers by its body alone: no job is made, so no quota holds what it is asked, but this limit."""

    @staticmethod
    def most_bytes(settings: AppSettings) -> int:
        """Return how long a body may be: a config and no data."""
        return settings.max_stateless_bytes


def _direct(endpoint: Callable[[Any], BaseModel]) -> Handler:
    """Return a handler that does what FastAPI's does for a function of one body, in a quarter of the time."""

    async def handle(request: ModelRequest) -> Response:
        answer = await request.worked(endpoint, await request.json())
        return Response(encoded(answer), media_type="application/json")

    return handle


def _says_json(request: Request) -> bool:
    """Whether the Content-Type is JSON, or some `+json`; a missing one is not: browsers send that across sites."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
