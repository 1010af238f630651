"""How many requests a key, a tenant, and an address that shows no good key may send.

Counted in fixed windows by the `limits` library, in the broker's Redis or Valkey, so that several HTTP processes count
together. While the broker is away each process counts on its own: a limit that is too generous for a while does less
harm than a service that answers nobody because its counter is gone, and jobs are accepted without a broker too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from app.auth import Caller
from app.problems import Problem
from worker.queue import client_url

WINDOW_SECONDS = 60
AWAY_SECONDS = 5.0
"""How long a broker that did not answer is left alone."""
SOCKET_SECONDS = 0.5
PREFIX = "halfstep:rate"


@dataclass(frozen=True)
class Level:
    """How much of one limit is left: `remaining` of `quota` requests until `reset` seconds from now."""

    name: str
    quota: int
    remaining: int
    reset: int
    over: bool


def headers_of(levels: Sequence[Level]) -> dict[str, str]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers; none for no limits."""
    if not levels:
        return {}
    return {
        "RateLimit-Policy": ", ".join(f'"{level.name}";q={level.quota};w={WINDOW_SECONDS}' for level in levels),
        "RateLimit": ", ".join(f'"{level.name}";r={level.remaining};t={level.reset}' for level in levels),
    }


def refusal(levels: Sequence[Level]) -> Problem | None:
    """Return the 429 if a limit was passed."""
    passed = [level for level in levels if level.over]
    if not passed:
        return None
    wait = max(level.reset for level in passed)
    limits = " and ".join(f"{level.quota} requests a minute of one {level.name}" for level in passed)
    text = f"More than the {limits} came; send the request again in {wait} s."
    return Problem(429, "rate_limited", text, headers={"Retry-After": str(wait)})


class Counter(Protocol):
    """Counts requests."""

    async def request(self, caller: Caller) -> Sequence[Level]:
        """Count a request of a caller; the levels after it."""
        ...

    async def failure(self, address: str) -> Sequence[Level]:
        """Count a request that showed no good key."""
        ...


class NoCounter:
    """Counts nothing."""

    async def request(self, caller: Caller) -> Sequence[Level]:
        """No limits, no levels."""
        return ()

    async def failure(self, address: str) -> Sequence[Level]:
        """No limits, no levels."""
        return ()


class RateCounter:
    """Counts by key, by tenant, and by address.

    Args:
        broker_url: as in the settings; used while it answers.
        key: requests a minute of one key; None: any number.
        tenant: of one tenant, with all its keys.
        failures: requests without a good key a minute, of one address.
    """

    def __init__(self, broker_url: str, *, key: int | None, tenant: int | None, failures: int | None) -> None:
        shared = RedisStorage(
            "async+" + client_url(broker_url).replace("unix://", "redis+unix://", 1),
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=PREFIX,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
        )
        self._shared = FixedWindowRateLimiter(shared)
        self._alone = FixedWindowRateLimiter(MemoryStorage())
        self._ask_again = 0.0
        self._limits = {
            name: RateLimitItemPerSecond(amount, WINDOW_SECONDS)
            for name, amount in (("key", key), ("tenant", tenant), ("address", failures))
            if amount is not None
        }

    async def request(self, caller: Caller) -> Sequence[Level]:
        """Count a request of a caller; the levels after it, the key's first."""
        named = (("key", caller.key_id), ("tenant", caller.tenant))
        return [await self._count(name, whose) for name, whose in named if name in self._limits]

    async def failure(self, address: str) -> Sequence[Level]:
        """Count a request that showed no good key."""
        return [await self._count("address", address)] if "address" in self._limits else []

    async def _count(self, name: str, whose: str) -> Level:
        item = self._limits[name]
        if time.monotonic() >= self._ask_again:
            try:
                return await _hit(self._shared, item, name, whose)
            except (StorageError, OSError):
                self._ask_again = time.monotonic() + AWAY_SECONDS
        return await _hit(self._alone, item, name, whose)


async def _hit(limiter: FixedWindowRateLimiter, item: RateLimitItem, name: str, whose: str) -> Level:
    fits = await limiter.hit(item, name, whose)
    stats = await limiter.get_window_stats(item, name, whose)
    reset = min(max(math.ceil(stats.reset_time - time.time()), 1), WINDOW_SECONDS)
    return Level(name, item.amount, max(int(stats.remaining), 0), reset, not fits)
