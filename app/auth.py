"""Who asks: the tenant whose things a request may touch, and what it may do with them."""

from __future__ import annotations

from dataclasses import dataclass

from worker.jobs.keys import SCOPES
from worker.jobs.tenants import DEFAULT


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
