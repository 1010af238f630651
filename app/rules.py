"""What the settings mean for the gate."""

from __future__ import annotations

from app.auth import KeyedDoor, OpenDoor
from app.deps import Services
from app.gate import AuditNotes, NoNotes, Rules
from app.hosts import LOOPBACK_NAMES, AnyHost, NamedHosts
from app.rates import NoCounter, RateCounter
from app.settings import AppSettings
from worker.jobs.audit import AuditLog
from worker.jobs.keys import KeyStore

PER_KEY, PER_TENANT = 600, 1200
"""Requests a minute where keys are asked for and nothing else is said."""


def rules_of(services: Services) -> Rules:
    """Return the gate's rules; nothing is connected before the first request."""
    settings = services.settings
    if settings.auth == "off":
        names = LOOPBACK_NAMES.union(name.lower() for name in settings.allowed_hosts)
        hosts = NamedHosts(names, frozenset(settings.cors_origins), loopback=True)
        counted = settings.rate_per_key or settings.rate_per_tenant
        return Rules(hosts, OpenDoor(), _counter(services) if counted else NoCounter(), NoNotes())
    named = frozenset(name.lower() for name in settings.allowed_hosts)
    origins = frozenset(settings.cors_origins)
    return Rules(
        hosts=NamedHosts(named, origins, loopback=False) if named else AnyHost(),
        door=KeyedDoor(KeyStore(services.database), services.pools.writes),
        counter=_counter(services, PER_KEY, PER_TENANT),
        notes=AuditNotes(AuditLog(services.database), services.pools.writes),
    )


def _counter(services: Services, key: int = 0, tenant: int = 0) -> RateCounter:
    settings = services.settings
    return RateCounter(
        services.shared.broker_url,
        key=_chosen(settings, "rate_per_key", key),
        tenant=_chosen(settings, "rate_per_tenant", tenant),
        failures=settings.rate_of_failures or None,
    )


def _chosen(settings: AppSettings, name: str, otherwise: int) -> int | None:
    """Return a limit, or None for none; 0 says that there shall be none."""
    chosen: int | None = getattr(settings, name)
    return (otherwise if chosen is None else chosen) or None
