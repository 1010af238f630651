"""A service that asks for keys, with two tenants, and everything that one of them can have."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.settings import AppSettings
from tests.app.serving import JOBS, SPEC, Served, serving
from tests.waiting import PATIENCE
from worker.jobs.keys import SCOPES, KeyStore
from worker.jobs.records import Flush, NewCheckpoint

SECRET = "annas-own-name"
"""In everything that `things_of` makes."""


@dataclass(frozen=True)
class Keyed:
    """A running service, and what tells its tenants from each other."""

    served: Served
    tokens: dict[str, str]

    def http(self, tenant: str) -> httpx.Client:
        """A client of a tenant, or of nobody (an empty name)."""
        headers = {"Authorization": f"Bearer {self.tokens[tenant]}"} if tenant else {}
        return httpx.Client(base_url=self.served.url, headers=headers, timeout=PATIENCE)

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


def things_of(service: Keyed, tenant: str) -> dict[str, str]:
    """Let a tenant have one of everything, and return the names of path parameters with their values."""
    with service.http(tenant) as http:
        job = http.post(JOBS, json={**SPEC, "suffix": SECRET}, headers={"Idempotency-Key": SECRET}).json()["id"]
        claim = service.served.claimed(job)
        swept = {"job": {**SPEC, "suffix": SECRET}, "grid": {"/seed": [1, 2]}}
        sweep = http.post("/v1/sweeps", json=swept).json()["id"]
        hook = {"url": f"https://{SECRET}.example/", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
        webhook = http.post("/v1/webhooks", json=hook).json()["id"]
        upload = {"file": (f"{SECRET}.csv", b"a,y\n1,0\n")}
        sent = http.post("/v1/files", files=upload, data={"purpose": "evals"}).json()["id"]
    store, artifacts = service.served.services.store, service.served.services.artifacts
    saved = artifacts.put(job, "checkpoint-1.safetensors", b"weights")
    report = artifacts.put(job, "report.json", b"{}")
    store.record(claim, Flush(1, 0, rows=({"step": 1, "loss": 0.5},), checkpoint=NewCheckpoint(1, 1, saved)))
    store.succeed(claim, [report])
    named = {"job_id": job, "name": "report.json", "checkpoint_id": store.checkpoints(job)[0].id}
    return {**named, "sweep_id": sweep, "webhook_id": webhook, "file_id": sent}
