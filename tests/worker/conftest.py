"""Fixtures of the worker's room: a store on both databases, files, and one real Valkey for the whole session."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from tests.worker.clocks import ManualClock
from worker.broker import running
from worker.jobs import database
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.store import JobStore
from worker.queue import CeleryQueue, client_url
from worker.settings import WorkerSettings


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    database.migrate(database_url)
    engine = database.create(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: sa.Engine, clock: ManualClock) -> JobStore:
    return JobStore(engine, clock)


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(f"file://{tmp_path / 'artifacts'}")


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> WorkerSettings:
    return WorkerSettings(
        data_dir=tmp_path, database_url=database_url, broker_url="redis://nowhere", directive_seconds=0.01
    )


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
def broker_url(valkey: str) -> str:
    """The URL of a real broker that holds nothing."""
    with redis.Redis.from_url(client_url(valkey)) as client:
        client.flushall()
    return valkey


@pytest.fixture
def queue(broker_url: str) -> Iterator[CeleryQueue]:
    queue = CeleryQueue(broker_url)
    yield queue
    queue.close()


@pytest.fixture
def anna(store: JobStore) -> JobStore:
    return store.of("anna")


@pytest.fixture
def ben(store: JobStore) -> JobStore:
    return store.of("ben")
