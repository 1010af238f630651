"""Fixtures that more than one room needs: real servers, started once, and a fresh place in them for every test."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
import redis

from tests.postgres import Postgres, running_postgres
from worker import broker

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL on a Unix socket, for the whole session."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgresql_url(postgres: Postgres) -> Iterator[str]:
    """SQLAlchemy URL of an empty PostgreSQL database of this test's own."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres.url(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """SQLAlchemy URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'halfstep.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of either kind: a test that asks for this runs on both."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="session")
def broker_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Valkey, started by our own launcher for the whole session."""
    with broker.running(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def broker_url(broker_server: str) -> str:
    """URL of an empty Valkey. `unix://...`, as redis-py and the settings spell it."""
    with redis.Redis.from_url(broker_server) as client:
        client.flushall()
    return broker_server
