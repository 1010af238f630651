"""A service that asks for keys, with two tenants, and everything that one of them can have."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.settings import AppSettings
from tests.app.serving import Served, serving
from worker.jobs.keys import SCOPES, KeyStore


@dataclass(frozen=True)
class Keyed:
    """A running service, and what tells its tenants from each other."""

    served: Served
    tokens: dict[str, str]

    def http(self, tenant: str) -> httpx.Client:
        """A client of a tenant, or of nobody (an empty name)."""
        headers = {"Authorization": f"Bearer {self.tokens[tenant]}"} if tenant else {}
        return httpx.Client(base_url=self.served.url, headers=headers, timeout=10)

    @property
    def keys(self) -> KeyStore:
        return KeyStore(self.served.services.database)


@contextmanager
def keyed(folder: Path, *tenants: str, **settings: object) -> Iterator[Keyed]:
    """Serve with keys that may do everything, one a tenant."""
    quick = {"sse_poll_seconds": 0.02, "rate_per_key": 0, "rate_per_tenant": 0, "rate_of_failures": 0}
    with serving(folder, AppSettings(**{"auth": "required", **quick, **settings})) as served:
        store = KeyStore(served.services.database)
        yield Keyed(served, {tenant: store.create(tenant, tuple(SCOPES))[1] for tenant in tenants})
