"""What webhooks are to be told, written in the very transaction that makes it true: the outbox of webhooks."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from worker.jobs.tables import jobs, webhook_deliveries, webhooks

CONDITION = "job.condition"
"""The type of the notice that a numeric condition has come true; sent once a job."""
SKIPPED = "skipped_steps"


@dataclass(frozen=True)
class NewWebhook:
    """Somebody who wants to be told.

    Attributes:
        url: whom to tell.
        secret: `whsec_...`, to sign with.
        events: of which ends of a job: "job.succeeded", "job.failed", "job.cancelled".
        condition: `{"metric": ..., "below": ...}` or `above`, or None.
    """

    url: str
    secret: str = field(repr=False)
    events: tuple[str, ...]
    condition: Mapping[str, Any] | None = None


def receiver_of(url: str) -> str:
    """Return the scheme, host and port of a URL: what one server answers for, however long its paths are."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:300].lower()


def tell_end(connection: sa.Connection, job_id: str, kind: str, now: float) -> None:
    """Note that a job has ended, for every webhook that wants to know."""
    for hook in _hooks(connection, job_id):
        if kind in hook.events:
            _write(connection, hook, job_id, kind, {}, now)


def tell_conditions(
    connection: sa.Connection, job_id: str, rows: Sequence[Mapping[str, float]], skipped: int, now: float
) -> None:
    """Note the conditions that these training steps fulfil, each once a job."""
    for hook in _hooks(connection, job_id):
        if hook.condition is None:
            continue
        found = first_true(hook.condition, rows, skipped)
        if found is not None and not _is_told(connection, hook.id, job_id):
            _write(connection, hook, job_id, CONDITION, {"condition": {**hook.condition, **found}}, now)


def first_true(
    condition: Mapping[str, Any], rows: Sequence[Mapping[str, float]], skipped: int
) -> dict[str, float | int] | None:
    """The value (and its step) that first fulfils a condition; None if none does. Nan fulfils nothing."""
    name = condition["metric"]
    steps = [(row["step"], row[name]) for row in rows if name in row]
    for step, value in [(rows[-1]["step"], float(skipped))] if name == SKIPPED else steps:
        if value < condition.get("below", float("-inf")) or value > condition.get("above", float("inf")):
            return {"value": _finite(value), "step": int(step)}
    return None


def _finite(value: float) -> float:
    """Infinity fulfils "above" and has no word in JSON: the greatest number stands for it."""
    most = 1.7976931348623157e308
    return min(max(value, -most), most)


def _hooks(connection: sa.Connection, job_id: str) -> Sequence[sa.Row[Any]]:
    owner = sa.select(jobs.c.tenant).where(jobs.c.id == job_id).scalar_subquery()
    whole_tenant = sa.and_(webhooks.c.tenant == owner, webhooks.c.job_id.is_(None))
    query = sa.select(webhooks).where(sa.or_(webhooks.c.job_id == job_id, whole_tenant))
    return connection.execute(query.where(webhooks.c.disabled_at.is_(None))).all()


def _is_told(connection: sa.Connection, webhook_id: str, job_id: str) -> bool:
    table = webhook_deliveries.c
    same = (table.webhook_id == webhook_id, table.job_id == job_id, table.type == CONDITION)
    return connection.execute(sa.select(table.id).where(*same)).first() is not None


def _write(
    connection: sa.Connection, hook: sa.Row[Any], job_id: str, kind: str, more: Mapping[str, Any], now: float
) -> None:
    row = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one()
    said = {name: row._mapping[name] for name in _TOLD}
    given = {"suffix": row.spec.get("suffix"), "job_metadata": row.spec.get("metadata") or {}}
    data = {"id": job_id, **said, **given, **more}
    body = {"type": kind, "timestamp": datetime.fromtimestamp(now, UTC).isoformat(), "data": data}
    values: dict[str, Any] = {
        "id": f"msg-{secrets.token_hex(12)}",
        "webhook_id": hook.id,
        "tenant": hook.tenant,
        "receiver": receiver_of(hook.url),
        "job_id": job_id,
        "type": kind,
    }
    values |= {"body": json.dumps(body, allow_nan=False, separators=(",", ":")), "created_at": now}
    connection.execute(sa.insert(webhook_deliveries).values(**values, status="pending", attempts=0, next_at=now))


_TOLD = (
    *("status", "status_reason", "created_at", "started_at", "finished_at", "step", "total_steps", "metrics"),
    *("loss_scale", "skipped_steps", "error"),
)
