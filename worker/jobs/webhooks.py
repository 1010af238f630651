"""Webhooks in the database: registered, listed, and what is to be sent handed out to whoever sends it."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from worker.jobs import database, reading, tenants
from worker.jobs.errors import JobNotFound, TooManyWebhooks
from worker.jobs.notices import NewWebhook
from worker.jobs.store import Clock
from worker.jobs.submitting import insert_webhook
from worker.jobs.tables import jobs, tenant_turns, webhook_attempts, webhook_deliveries, webhooks

MOST_WEBHOOKS = 20
"""Of one tenant, for all his jobs."""


@dataclass(frozen=True)
class Webhook:
    """A registered webhook. Its secret stays in the database."""

    id: str
    job_id: str | None
    url: str
    events: tuple[str, ...]
    condition: Mapping[str, Any] | None
    created_at: float
    disabled_at: float | None


@dataclass(frozen=True)
class Attempt:
    """One try to deliver: the receiver's status code, or what kept us from it."""

    at: float
    status_code: int | None
    error: str | None
    seconds: float


@dataclass(frozen=True)
class Delivery:
    """Something to be told; `status` is pending, delivered or failed."""

    id: str
    webhook_id: str
    url: str
    job_id: str
    type: str
    created_at: float
    status: str
    next_at: float | None
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Due:
    """A delivery that is this sender's to try now; the only record that holds a secret, and does not show it."""

    id: str
    tenant: str
    receiver: str
    url: str
    secret: str
    body: str
    attempts: int

    def __repr__(self) -> str:
        """Without the secret, wherever it may be printed."""
        return f"Due({self.id!r}, attempts={self.attempts})"


@dataclass(frozen=True)
class Room:
    """How many deliveries may be under way, and how many are, so that no receiver takes the threads of others.

    Attributes:
        in_all: at once.
        per_tenant: of these, of one tenant.
        per_receiver: of these, to one server.
        under_way: deliveries by tenant and receiver.
    """

    in_all: int
    per_tenant: int
    per_receiver: int
    under_way: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def of(self, tenant: str) -> int:
        """How many more the tenant may have."""
        return self.per_tenant - sum(count for (name, _), count in self.under_way.items() if name == tenant)

    def full(self, tenant: str) -> tuple[str, ...]:
        """The tenant's receivers that may have no more."""
        return tuple(
            receiver
            for (name, receiver), count in self.under_way.items()
            if name == tenant and count >= self.per_receiver
        )


class WebhookStore:
    """One tenant's webhooks; what the sender needs is of all tenants. Every method is one transaction."""

    def __init__(self, engine: sa.Engine, clock: Clock = time.time, tenant: str = tenants.DEFAULT) -> None:
        self._engine = engine
        self._clock = clock
        self._tenant = tenant
        self._mine = (webhooks.c.tenant == tenant, webhooks.c.job_id.is_(None))

    def of(self, tenant: str) -> "WebhookStore":
        """The same store as one tenant sees it."""
        return WebhookStore(self._engine, self._clock, tenant)

    @contextmanager
    def _write(self) -> Iterator[tuple[sa.Connection, float]]:
        with database.writing(self._engine) as connection:
            yield connection, self._clock()

    def register(self, new: NewWebhook) -> Webhook:
        """Tell about every job of the tenant from now on.

        Raises:
            TooManyWebhooks: he has as many as he may.
        """
        with self._write() as (connection, now):
            count = sa.select(sa.func.count()).select_from(webhooks).where(*self._mine)
            if connection.execute(count).scalar_one() >= MOST_WEBHOOKS:
                raise TooManyWebhooks(MOST_WEBHOOKS)
            webhook_id = insert_webhook(connection, self._tenant, None, new, now)
        return self.get(webhook_id)

    def get(self, webhook_id: str) -> Webhook:
        """A registered webhook. Raises: JobNotFound."""
        with database.reading(self._engine) as connection:
            query = sa.select(webhooks).where(webhooks.c.id == webhook_id, *self._mine)
            row = connection.execute(query).one_or_none()
        if row is None:
            raise JobNotFound(webhook_id)
        return _webhook(row)

    def registered(self) -> tuple[Webhook, ...]:
        """All of the tenant's webhooks for all his jobs, newest first."""
        with database.reading(self._engine) as connection:
            query = sa.select(webhooks).where(*self._mine).order_by(webhooks.c.number.desc())
            return tuple(map(_webhook, connection.execute(query)))

    def remove(self, webhook_id: str) -> None:
        """Forget a webhook and what was still to be sent. Raises: JobNotFound."""
        with self._write() as (connection, _):
            query = sa.delete(webhooks).where(webhooks.c.id == webhook_id, *self._mine)
            if not connection.execute(query).rowcount:
                raise JobNotFound(webhook_id)

    def deliveries(self, job_id: str) -> tuple[Delivery, ...]:
        """What was or is to be told of a job, oldest first, with every try. Raises: JobNotFound."""
        with database.reading(self._engine) as connection:
            reading.require(connection, job_id, (jobs.c.tenant == self._tenant,))
            query = sa.select(webhook_deliveries, webhooks.c.url).join(webhooks)
            mine = (webhook_deliveries.c.job_id == job_id, webhooks.c.tenant == self._tenant)
            rows = connection.execute(query.where(*mine).order_by(webhook_deliveries.c.created_at)).all()
            tries = _tries(connection, [row.id for row in rows])
        return tuple(_delivery(row, tries.get(row.id, ())) for row in rows)

    # ----------------------------------------------------------------- sender

    def take_due(self, room: Room, lease_seconds: float) -> tuple[Due, ...]:
        """Deliveries whose time has come, as many as there is room for, for this caller to try until the lease ends.

        Every tenant that has some gets some: the first ones in line of one tenant hold up nobody else's.
        """
        columns = webhook_deliveries.c
        taken: list[Due] = []
        with self._write() as (connection, now):
            waits = sa.exists().where(columns.tenant == tenant_turns.c.tenant, columns.next_at <= now)
            tenants = list(connection.execute(sa.select(tenant_turns.c.tenant).where(waits)).scalars())
            random.shuffle(tenants)
            for tenant in tenants:
                left = room.in_all - sum(room.under_way.values()) - len(taken)
                taken += _first_due(connection, tenant, room, max(0, left), now)
            mine = columns.id.in_([due.id for due in taken])
            connection.execute(sa.update(webhook_deliveries).where(mine).values(next_at=now + lease_seconds))
        return tuple(taken)

    def postpone(self, tenant: str, receiver: str, seconds: float, lifetime: float) -> None:
        """Let everything that is due at a receiver wait, because it does not answer; no try is counted.

        Args:
            tenant: whose deliveries.
            receiver: that does not answer.
            seconds: how long they wait.
            lifetime: seconds after which a delivery is given up.
        """
        columns = webhook_deliveries.c
        with self._write() as (connection, now):
            there = (columns.tenant == tenant, columns.receiver == receiver, columns.next_at <= now + seconds)
            late = sa.update(webhook_deliveries).where(*there, columns.created_at < now - lifetime)
            connection.execute(late.values(status="failed", next_at=None))
            connection.execute(sa.update(webhook_deliveries).where(*there).values(next_at=now + seconds))

    def settle(self, due: Due, attempt: Attempt, status: str, next_at: float | None) -> None:
        """Note a try and what follows from it; a webhook whose receiver is gone (410) is told nothing more."""
        table = webhook_deliveries
        with self._write() as (connection, now):
            same = (table.c.id == due.id, table.c.attempts == due.attempts)
            values = {"status": status, "attempts": due.attempts + 1, "next_at": next_at}
            if connection.execute(sa.update(table).where(*same).values(**values)).rowcount != 1:
                return  # its lease ran out and another sender was faster, or the webhook is gone
            row = {"delivery_id": due.id, "number": due.attempts + 1, "at": attempt.at, "seconds": attempt.seconds}
            row |= {"status_code": attempt.status_code, "error": attempt.error}
            connection.execute(sa.insert(webhook_attempts).values(**row))
            if attempt.status_code == GONE:
                mine = sa.select(table.c.webhook_id).where(table.c.id == due.id).scalar_subquery()
                connection.execute(sa.update(webhooks).where(webhooks.c.id == mine).values(disabled_at=now))


GONE = 410


def _first_due(connection: sa.Connection, tenant: str, room: Room, limit: int, now: float) -> list[Due]:
    """The deliveries of one tenant that are due, as many as there is room for."""
    columns = webhook_deliveries.c
    query = sa.select(webhook_deliveries, webhooks.c.url, webhooks.c.secret).join(webhooks)
    query = query.where(columns.tenant == tenant, columns.next_at <= now, columns.receiver.not_in(room.full(tenant)))
    query = query.order_by(columns.next_at).limit(max(0, min(room.of(tenant), limit)))
    rows = connection.execute(query.with_for_update(of=webhook_deliveries, skip_locked=True)).all()
    under_way = Counter({receiver: count for (name, receiver), count in room.under_way.items() if name == tenant})
    taken = []
    for row in rows:
        if under_way[row.receiver] < room.per_receiver:
            under_way[row.receiver] += 1
            taken.append(Due(row.id, tenant, row.receiver, row.url, row.secret, row.body, row.attempts))
    return taken


def _webhook(row: sa.Row[Any]) -> Webhook:
    return Webhook(
        row.id, row.job_id, row.url, tuple(row.events), row.condition, row.created_at, row.disabled_at
    )  # fmt: skip


def _tries(connection: sa.Connection, ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
    query = sa.select(webhook_attempts).where(webhook_attempts.c.delivery_id.in_(ids))
    found: dict[str, tuple[Attempt, ...]] = {}
    for row in connection.execute(query.order_by(webhook_attempts.c.number)):
        attempt = Attempt(row.at, row.status_code, row.error, row.seconds)
        found[row.delivery_id] = (*found.get(row.delivery_id, ()), attempt)
    return found


def _delivery(row: sa.Row[Any], tries: tuple[Attempt, ...]) -> Delivery:
    return Delivery(
        row.id, row.webhook_id, row.url, row.job_id, row.type, row.created_at, row.status, row.next_at, tries
    )
