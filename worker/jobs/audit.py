"""The audit log: who did what to which object, and how it ended. Rows are only ever added; the database holds that."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from worker.jobs import database
from worker.jobs.tables import audit_log

_WIDTHS = {"tenant": 64, "key_id": 40, "address": 100, "request_id": 128, "action": 100, "object": 200}


@dataclass(frozen=True)
class Deed:
    """Something that was done, or refused.

    Attributes:
        tenant: whose key it was; empty if no good key was shown.
        key_id: of the key; `cli` for what was done beside the API.
        address: where the request came from.
        request_id: as in the answer and in the server's log.
        action: HTTP method, or the command.
        object: path of the thing, without query string.
        outcome: HTTP status code of the answer.
    """

    tenant: str
    key_id: str
    address: str
    request_id: str
    action: str
    object: str
    outcome: int


@dataclass(frozen=True)
class AuditLine(Deed):
    """A deed in the log: its `number` grows, `at` is in unix seconds."""

    number: int
    at: float


class AuditLog:
    """The audit log in the database of the jobs.

    Args:
        engine: from `worker.jobs.database.create`; the schema must be migrated.
        clock: unix seconds.
    """

    def __init__(self, engine: sa.Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def append(self, deed: Deed) -> None:
        """Write a deed down; it is durable on return. Texts are cut to what a column holds."""
        values = {name: _fitting(value, _WIDTHS.get(name, 0)) for name, value in asdict(deed).items()}
        with database.writing(self._engine) as connection:
            connection.execute(sa.insert(audit_log).values(at=self._clock(), **values))

    def read(self, *, tenant: str | None = None, limit: int = 100) -> tuple[AuditLine, ...]:
        """The last `limit` lines, oldest first, of everybody or of one tenant."""
        query = sa.select(audit_log).order_by(audit_log.c.number.desc()).limit(limit)
        with database.reading(self._engine) as connection:
            rows = connection.execute(query if tenant is None else query.where(audit_log.c.tenant == tenant)).all()
        return tuple(AuditLine(**row._mapping) for row in reversed(rows))


def _fitting(value: str | int, width: int) -> str | int:
    """A text that every database takes: what a caller sends may hold anything, NUL and half characters too."""
    if isinstance(value, int):
        return value
    return "".join(letter if letter.isprintable() else "?" for letter in value[:width])
