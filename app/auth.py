"""Who asks: the tenant whose things a request may touch, and what it may do with them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from app.problems import Problem
from app.thread_pools import NoThread, ThreadPool
from worker.jobs.keys import SCOPES, ApiKey, KeyStore
from worker.jobs.tenants import DEFAULT

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """Who sent a request.

    Attributes:
        tenant: whose jobs, files and sweeps he sees; no other's exist for him.
        scopes: what he may do, some of `worker.jobs.keys.SCOPES`.
        key_id: of the key he showed; empty where nobody asks for keys.
    """

    tenant: str
    scopes: frozenset[str]
    key_id: str


ANYBODY = Caller(DEFAULT, frozenset(SCOPES), "")
"""Whoever reaches a service that asks for no keys: it answers on loopback only."""
NOBODY = Caller("", frozenset(), "")
"""Whoever shows no key where keys are asked for: no tenant has an empty name, so nothing is his."""

READ, WRITE, METRICS = SCOPES
OPEN = frozenset({"/", "/docs", "/docs.css", "/docs.js", "/openapi.json", "/healthz", "/readyz"})
"""Addresses that ask nobody for a key: pages without data, and what a load balancer asks. All others do."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEEPS_NOTHING = re.compile(
    r"/v1/(policies|loss-scales|optimizers|models|translate)(/[^/]+)?|/v1/training/jobs/[^/]+/predict"
)
"""What is asked with POST because the question is long, and changes nothing."""


def path_of(scope: Mapping[str, Any]) -> str:
    """Return the path of a request as routes have it, without HALFSTEP_ROOT_PATH, which uvicorn puts before it."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


def scope_for(method: str, path: str) -> str | None:
    """Return the scope that a request needs; None if it needs no key. What is new asks for `read` or `write`."""
    if path in OPEN:
        return None
    if path == "/metrics":
        return METRICS
    return READ if method in _SAFE or _KEEPS_NOTHING.fullmatch(path) else WRITE


class Doorkeeper(Protocol):
    """Tells callers from each other."""

    async def caller(self, authorization: str | None, scope: str | None) -> Caller | Problem:
        """Return who shows this Authorization header, or why he may not do what needs this scope."""
        ...

    async def still_allowed(self, caller: Caller) -> bool:
        """Whether a caller whose answer goes on for long may still have it."""
        ...


class OpenDoor:
    """Asks nobody: for loopback, where whoever reaches the service could read its files too."""

    async def caller(self, authorization: str | None, scope: str | None) -> Caller | Problem:
        """Return the same caller for everybody."""
        return ANYBODY

    async def still_allowed(self, caller: Caller) -> bool:
        """Allow it."""
        return True


class KeyedDoor:
    """Asks for an API key, at every request anew: a key that is taken back is useless from then on.

    Args:
        keys: the keys there are.
        writes: threads in which the use of a key is noted; no request waits for that.
    """

    def __init__(self, keys: KeyStore, writes: ThreadPool) -> None:
        self._keys = keys
        self._writes = writes
        self._noting: dict[str, asyncio.Task[None]] = {}

    async def caller(self, authorization: str | None, scope: str | None) -> Caller | Problem:
        """Return the key's caller, or a 401 (no good key) or 403 (a key for other things)."""
        if scope is None:
            return NOBODY
        kind, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            return _MISSING
        key = await run_in_threadpool(self._keys.find, token)
        if key is None:
            return _INVALID
        if key.id not in self._noting and self._keys.use_is_stale(key):
            self._noting[key.id] = asyncio.create_task(self._note_use(key))
        if scope not in key.scopes:
            return _lacking(scope, key.scopes)
        return Caller(key.tenant, frozenset(key.scopes), key.id)

    async def still_allowed(self, caller: Caller) -> bool:
        """Whether the caller's key is neither revoked nor expired by now."""
        return await run_in_threadpool(self._keys.is_usable, caller.key_id)

    async def _note_use(self, key: ApiKey) -> None:
        try:
            await self._writes.run(key.tenant, self._keys.note_use, key)
        except (SQLAlchemyError, NoThread) as error:
            logger.warning("the use of key %s is not noted (%s)", key.id, type(error).__name__)
        finally:
            del self._noting[key.id]


def _challenge(error: str = "") -> Mapping[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="halfstep"{error}'}


_MISSING = Problem(
    401,
    "api_key_missing",
    "This service asks for an API key; send it as `Authorization: Bearer <key>`. "
    "Whoever runs the service makes one with `halfstep keys create`.",
    headers=_challenge(),
)
_INVALID = Problem(
    401,
    "invalid_api_key",
    "The API key that was sent is unknown here, revoked or expired; ask whoever runs the service for another.",
    headers=_challenge(', error="invalid_token"'),
)


def _lacking(scope: str, scopes: tuple[str, ...]) -> Problem:
    text = f"This needs a key with the scope {scope!r}; the key that was sent has {', '.join(scopes)}."
    return Problem(403, "scope_missing", text, headers=_challenge(f', error="insufficient_scope", scope="{scope}"'))
