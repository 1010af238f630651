"""Engines for SQLite and PostgreSQL, transactions that mean the same on both, and migrations."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic_core import from_json
from sqlalchemy import event
from sqlalchemy.engine import make_url

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 15
"""How long a SQLite writer waits for another; writers hold the lock for milliseconds."""

_WRITES = "halfstep_writes"
_POSTGRESQL_OPTIONS = "-c lock_timeout=15s -c idle_in_transaction_session_timeout=10s"
"""A process that is frozen within a transaction must not keep a job's row from everybody else."""
_MIGRATION_LOCK = 0x48414C46
"""Any constant will do: it names the PostgreSQL advisory lock that one migrating process holds."""


def create(url: str, *, busy_seconds: float = BUSY_SECONDS) -> sa.Engine:
    """Make the engine for `url`; nothing is connected yet, and nothing is shared over a fork.

    Args:
        url: `sqlite:///PATH` (a file: several processes share it) or `postgresql://...` (psycopg 3 is used).
        busy_seconds: how long a writer waits for another (SQLite).
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _create_sqlite(parsed, busy_seconds)
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    return sa.create_engine(
        parsed,
        json_serializer=_to_json,
        json_deserializer=_from_json,
        hide_parameters=True,  # what callers send is none of the log's business
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "options": _POSTGRESQL_OPTIONS},
    )


def _create_sqlite(url: sa.URL, busy_seconds: float) -> sa.Engine:
    engine = sa.create_engine(
        url,
        json_serializer=_to_json,
        json_deserializer=_from_json,
        hide_parameters=True,
        connect_args={"timeout": busy_seconds},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own idea of when to begin would start writers as readers, which then fail on upgrade.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@dataclass(frozen=True)
class Encoded:
    """A value for a JSON column that is JSON text already.

    Attributes:
        text: as `Encoded.of` writes it.
    """

    text: str

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return any value as the text that a column would hold."""
        return cls(_dumps(value))


_dumps = partial(json.dumps, allow_nan=False, separators=(",", ":"))


def _to_json(value: Any) -> str:
    return value.text if isinstance(value, Encoded) else _dumps(value)


def _from_json(text: str | bytes) -> Any:
    """Read what `_to_json` wrote; pydantic's parser is the faster one, and refuses lone surrogates."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One consistent look; PostgreSQL too shows a single snapshot to all its statements."""
    options: dict[str, Any] = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction that may write: all or nothing, durable when the block ends without an error."""
    with engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


def is_locked(error: sa.exc.DBAPIError) -> bool:
    """Whether another process kept the one lock on writing that SQLite has for longer than we wait."""
    return isinstance(error.orig, sqlite3.OperationalError) and error.orig.sqlite_errorcode == sqlite3.SQLITE_BUSY


def migrate(url: str) -> None:
    """Bring the schema to the newest revision; safe to call from several processes at once.

    Where it is the newest already, nothing is written: a reaper that starts while a frozen process holds SQLite's lock
    on writing is what frees it.
    """
    engine = create(url)
    _make_folder(engine.url)
    try:
        if _is_newest(engine):
            return
        with writing(engine) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            command.upgrade(alembic_config(connection), "head")
    finally:
        engine.dispose()


def _is_newest(engine: sa.Engine) -> bool:
    with reading(engine) as connection:
        there = MigrationContext.configure(connection).get_current_heads()
    return there == (ScriptDirectory(str(MIGRATIONS)).get_current_head(),)


def file_of(url: str | sa.URL) -> Path | None:
    """The file of a SQLite database; None of others."""
    parsed = make_url(url)
    in_file = parsed.get_backend_name() == "sqlite" and parsed.database not in {None, "", ":memory:"}
    return Path(str(parsed.database)) if in_file else None


def _make_folder(url: sa.URL) -> None:
    file = file_of(url)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)


def alembic_config(connection: sa.Connection) -> Config:
    """Return Alembic's configuration for our revisions on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
