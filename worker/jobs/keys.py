"""API keys: made for a tenant, shown once, kept as a hash, taken back at any time.

A token is 256 random bits. So its plain SHA-256 is as good as no trace of it: the slow, salted hashes that passwords
need (bcrypt, argon2) defend what can be guessed, and would cost every request a tenth of a second.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from worker.jobs import database
from worker.jobs.errors import KeyRefused
from worker.jobs.submitting import new_id
from worker.jobs.tables import api_keys

SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "read": "look at what is the tenant's, and use what keeps nothing: validate, translate, inspect, predict",
        "write": "create, change and delete what is the tenant's",
        "metrics": "read /metrics, which tells of the whole service and of no single tenant",
    }
)
"""What a key may be good for. None includes another."""

TOKEN_PREFIX = "hs_"  # what secret scanners look for, not a secret
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
USE_SECONDS = 60.0
"""How old `last_used_at` grows before a use writes it anew: a key that is busy must not be a busy row."""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key; the token is not.

    `scopes` are in the order of `SCOPES`. Times are unix seconds; None: never.
    """

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None

    def usable(self, now: float) -> bool:
        """Whether it opens anything at this time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def hash_of(token: str) -> str:
    """What is kept of a token: its SHA-256, in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


class KeyStore:
    """The API keys in the database of the jobs.

    Args:
        engine: from `worker.jobs.database.create`; the schema must be migrated.
        clock: unix seconds.
    """

    def __init__(self, engine: sa.Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def create(
        self, tenant: str, scopes: Sequence[str], *, name: str = "", seconds: float | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key, and return it with its token, which nobody can tell a second time.

        Args:
            tenant: whom it opens the service for; a new name is a new tenant.
            scopes: some of `SCOPES`.
            name: what people call it.
            seconds: until it expires; None: never.

        Raises:
            KeyRefused: there is no such scope, or the name of the tenant is no name.
        """
        _check(tenant, scopes, name, seconds)
        now = self._clock()
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        ordered = tuple(scope for scope in SCOPES if scope in scopes)
        key = ApiKey(new_id("key"), tenant, name, ordered, now, None if seconds is None else now + seconds)
        values = {**key.__dict__, "scopes": list(ordered), "sha256": hash_of(token)}
        with database.writing(self._engine) as connection:
            connection.execute(sa.insert(api_keys).values(values))
        return key, token

    def find(self, token: str) -> ApiKey | None:
        """The key of this token; None if it opens nothing (unknown, revoked, expired)."""
        now = self._clock()
        # Compared by the database, as the index finds it; how long that takes tells of hashes, which lead to no token.
        query = sa.select(api_keys).where(api_keys.c.sha256 == hash_of(token))
        with database.reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        key = None if row is None else _key(row)
        return key if key is not None and key.usable(now) else None

    def is_usable(self, key_id: str) -> bool:
        """Whether a key opens anything by now."""
        with database.reading(self._engine) as connection:
            row = connection.execute(sa.select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
        return row is not None and _key(row).usable(self._clock())

    def note_use(self, key: ApiKey) -> None:
        """Write that the key was used just now, unless that is written already of the last `USE_SECONDS`."""
        if not self.use_is_stale(key):
            return
        with database.writing(self._engine) as connection:
            now = self._clock()
            connection.execute(sa.update(api_keys).where(api_keys.c.id == key.id).values(last_used_at=now))

    def use_is_stale(self, key: ApiKey) -> bool:
        """Whether the last use that is written is so old that the next one is written too."""
        return key.last_used_at is None or self._clock() - key.last_used_at >= USE_SECONDS

    def keys(self, tenant: str | None = None) -> tuple[ApiKey, ...]:
        """Every key, oldest first, or those of one tenant; revoked ones too."""
        query = sa.select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        with database.reading(self._engine) as connection:
            rows = connection.execute(query if tenant is None else query.where(api_keys.c.tenant == tenant))
            return tuple(map(_key, rows))

    def revoke(self, key_id: str) -> ApiKey:
        """Take a key back, from the next request on; again is no error.

        Raises:
            KeyRefused: there is no such key.
        """
        mine = api_keys.c.id == key_id
        with database.writing(self._engine) as connection:
            connection.execute(
                sa.update(api_keys).where(mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=self._clock())
            )
            row = connection.execute(sa.select(api_keys).where(mine)).one_or_none()
        if row is None:
            raise KeyRefused(f"There is no key {key_id!r}; `halfstep keys list` shows those there are.")
        return _key(row)


def _check(tenant: str, scopes: Sequence[str], name: str, seconds: float | None) -> None:
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        received = ", ".join(unknown) or "none"
        raise KeyRefused(f"Received the scopes {received}; a key has one or more of {', '.join(SCOPES)}.")
    if not _NAME.fullmatch(tenant):
        raise KeyRefused(f"Received the tenant {tenant!r}; expected 1 to 64 letters, digits, dots, dashes.")
    if len(name) > 100 or not name.isprintable():
        raise KeyRefused(f"Received the name {name!r}; expected up to 100 printable characters.")
    if seconds is not None and seconds <= 0:
        raise KeyRefused(f"Received {seconds:g} seconds until the key expires; expected more than 0.")


def _key(row: sa.Row[Any]) -> ApiKey:
    return ApiKey(
        row.id,
        row.tenant,
        row.name,
        tuple(row.scopes),
        row.created_at,
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
    )
