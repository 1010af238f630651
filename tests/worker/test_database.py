"""The schema is what the tables say, however many processes set it up at once; transactions are real ones."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.waiting import PATIENCE
from worker.jobs import database
from worker.jobs.tables import jobs, metadata


def test_the_migrated_schema_is_what_the_tables_say(engine: sa.Engine):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_whatever_json_was_written_is_read(engine: sa.Engine):
    nested: list[object] = []
    for _ in range(300):  # deeper than the fast parser goes
        nested = [nested]
    written = {"lone surrogate": "\ud800", "nested": nested, "number": 0.1, "integer": 10**30}
    with database.writing(engine) as connection:
        literal = sa.literal(written, sa.JSON)
        assert connection.execute(sa.select(sa.type_coerce(literal, sa.JSON))).scalar_one() == written


def test_migrating_again_changes_nothing(database_url: str, engine: sa.Engine):
    database.migrate(database_url)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == ["0012"]


def test_jobs_of_earlier_releases_keep_the_meaning_of_their_policy(database_url: str, engine: sa.Engine):
    with database.writing(engine) as connection:
        connection.execute(sa.insert(jobs), [{**ROW, "spec": {"policy": "mixed_float16"}}, {**ROW, "id": "job-2"}])
        command.downgrade(database.alembic_config(connection), "0008")
    database.migrate(database_url)
    with database.reading(engine) as connection:
        specs = connection.execute(sa.select(jobs.c.spec).order_by(jobs.c.id)).scalars().all()
    assert specs == [{"policy": "mixed_float16", "policy_scope": "unset"}, {"policy_scope": "unset"}]


def test_whoever_starts_does_not_wait_for_a_writer_if_nothing_is_to_be_migrated(database_url: str, engine: sa.Engine):
    with database.writing(engine) as held:
        database.migrate(database_url)
        assert held.in_transaction()


def test_processes_that_start_at_once_migrate_once(database_url: str):
    program = "import sys; from worker.jobs import database; database.migrate(sys.argv[1])"
    root = Path(__file__).parents[2]
    racers = [
        subprocess.Popen([sys.executable, "-c", program, database_url], cwd=root, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    said = [racer.communicate(timeout=PATIENCE)[1].decode() for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4, said


def test_a_folder_is_made_for_a_new_sqlite_file(tmp_path: Path):
    database.migrate(f"sqlite:///{tmp_path / 'deep' / 'er' / 'jobs.db'}")
    assert (tmp_path / "deep" / "er" / "jobs.db").exists()


def test_sqlite_is_as_careful_as_the_design_wants(sqlite_url: str):
    database.migrate(sqlite_url)
    engine = database.create(sqlite_url)
    with database.reading(engine) as connection:
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in PRAGMAS}
    engine.dispose()
    assert pragmas == PRAGMAS


PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL
    "foreign_keys": 1,
    "busy_timeout": database.BUSY_SECONDS * 1000,
}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_any_spelling_of_postgresql_means_psycopg_3(scheme: str):
    url = f"{scheme}://user@host/name"
    assert database.create(url).dialect.driver == "psycopg"


def test_a_failed_transaction_leaves_nothing(engine: sa.Engine):
    with pytest.raises(sa.exc.IntegrityError), database.writing(engine) as connection:
        connection.execute(sa.insert(jobs), [ROW, {**ROW, "id": "job-2"}, ROW])
    with database.reading(engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one() == 0


def test_json_with_nan_never_gets_in(engine: sa.Engine):
    with (
        pytest.raises((ValueError, sa.exc.StatementError), match="not JSON compliant"),
        database.writing(engine) as connection,
    ):
        connection.execute(sa.insert(jobs).values({**ROW, "metrics": {"loss": float("nan")}}))


ROW = {
    "id": "job-1",
    "status": "queued",
    "status_reason": "",
    "created_at": 1.0,
    "spec": {},
    "summary": {},
    "step": 0,
    "total_steps": 1,
    "epoch": 0,
    "epochs": 1,
    "active_seconds": 0.0,
    "active_steps": 0,
    "metrics": {},
    "skipped_steps": 0,
    "attempt": 0,
    "lost_leases": 0,
    "last_event_id": 0,
    "told_place": 0,
}
