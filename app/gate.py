"""The gate before every route: whether a request may come in at all, as whom, how often, and what is written down.

It is closed by default: a route is behind it unless `app.auth.OPEN` names it, so that a new one cannot forget it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth import NOBODY, WRITE, Caller, Doorkeeper, path_of, scope_for
from app.errors import problem_of
from app.hosts import AnyHost, NamedHosts
from app.problems import Problem
from app.rates import Counter, headers_of, refusal
from app.thread_pools import NoThread, ThreadPool
from worker.jobs.audit import AuditLog, Deed

logger = logging.getLogger(__name__)

_NOTED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Notes(Protocol):
    """Where deeds are written down."""

    async def note(self, deed: Deed) -> None:
        """Write a deed down."""
        ...


class NoNotes:
    """Writes nothing down: where no keys are asked for, there is nobody to tell from anybody."""

    async def note(self, deed: Deed) -> None:
        """Forget it."""


class AuditNotes:
    """Writes deeds into the audit log.

    Args:
        log: in the database.
        writes: threads in which it is written.
    """

    def __init__(self, log: AuditLog, writes: ThreadPool) -> None:
        self._log = log
        self._writes = writes

    async def note(self, deed: Deed) -> None:
        """Write a deed down; if that fails, in the server's log: it was done, and to answer otherwise were worse."""
        try:
            await self._writes.run(deed.tenant, self._log.append, deed)
        except (SQLAlchemyError, NoThread) as error:
            logger.warning("the audit log takes nothing (%s); not in it: %s", type(error).__name__, deed)


@dataclass(frozen=True)
class Rules:
    """What the gate asks.

    Attributes:
        hosts: which names the service answers to.
        door: who the caller is.
        counter: how much he sent.
        notes: where deeds are written down.
    """

    hosts: AnyHost | NamedHosts
    door: Doorkeeper
    counter: Counter
    notes: Notes


@dataclass
class _Visit:
    """One request at the gate."""

    scope: Scope
    needs: str | None
    caller: Caller = NOBODY
    headers: Sequence[tuple[bytes, bytes]] = ()

    @property
    def address(self) -> str:
        return str((self.scope.get("client") or ("",))[0])


class Gate:
    """ASGI middleware that lets requests in, with their caller in `request.state.caller`."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        found = _read(scope)
        host, authorization = found.get(b"host", ""), found.get(b"authorization")
        server = str((scope.get("server") or ("",))[0])
        site = found.get(b"sec-fetch-site", "")
        strange = self.rules.hosts.refusal(scope["method"], server, host, found.get(b"origin"), site)
        if strange is None and not host and scope["http_version"] != "1.0":
            strange = _NO_HOST
        if strange is not None:
            await strange.response(Request(scope))(scope, receive, send)
            return
        visit = _Visit(scope, scope_for(scope["method"], path_of(scope)))
        problem = await self._asked(visit, authorization)
        scope.setdefault("state", {})["caller"] = visit.caller
        noted = self._noting(visit, send)
        if problem is not None:
            await problem.response(Request(scope))(scope, receive, noted)
            return
        await self.app(scope, receive, noted)

    async def _asked(self, visit: _Visit, authorization: str | None) -> Problem | None:
        """Find out who it is, and return why he may not come in, or None."""
        try:
            found = await self.rules.door.caller(authorization, visit.needs)
        except SQLAlchemyError as error:
            return problem_of(error)
        if isinstance(found, Problem):
            return refusal(await self.rules.counter.failure(visit.address)) or found
        visit.caller = found
        if visit.needs is None:
            return None
        levels = await self.rules.counter.request(found)
        visit.headers = [(name.lower().encode(), value.encode()) for name, value in headers_of(levels).items()]
        return refusal(levels)

    def _noting(self, visit: _Visit, send: Send) -> Send:
        """Return a `send` that adds the levels, and lets no answer out before its deed is written down."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *visit.headers]
                if visit.needs == WRITE or message["status"] in _NOTED:
                    await self.rules.notes.note(_deed(visit, message))
            await send(message)

        return noting


_NO_HOST = Problem(400, "host_missing", "The request has no Host header, which HTTP/1.1 demands (RFC 9112).")


def _read(scope: Scope) -> Mapping[bytes, str]:
    """Return the headers that the gate looks at; one that came twice is good for nothing, and never half of it.

    Whoever stands before us (a proxy) may have judged the other one.
    """
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found


_READ = frozenset({b"host", b"origin", b"authorization", b"sec-fetch-site"})


def _deed(visit: _Visit, message: Message) -> Deed:
    scope = visit.scope
    # As it was sent, percent-encoded: printable, and without the query, which is nobody's business here.
    place = bytes(scope.get("raw_path") or b"").decode("latin-1")
    made = Headers(raw=message["headers"]).get("location") if message["status"] == HTTPStatus.CREATED else None
    return Deed(
        tenant=visit.caller.tenant,
        key_id=visit.caller.key_id,
        address=visit.address,
        request_id=str(scope.get("state", {}).get("request_id", "")),
        action=scope["method"],
        object=made or place,
        outcome=message["status"],
    )
