"""What calls read while very many jobs wait: the databases' own plans, for every statement that a call sends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from tests.worker.fakes import SPEC
from worker.jobs import database
from worker.jobs.states import JobStatus
from worker.jobs.store import JobStore

CALLS: dict[str, Callable[[JobStore, str], object]] = {
    "get": lambda store, job_id: store.get(job_id),
    "list": lambda store, job_id: store.page(),
    "next page": lambda store, job_id: store.page(after=job_id, order="asc"),
    "list by status": lambda store, job_id: store.page(status=[JobStatus.QUEUED]),
    "events": lambda store, job_id: store.events(job_id, after=1),
    "metrics": lambda store, job_id: store.metrics(job_id, max_points=10),
    "next in line": lambda store, job_id: store.next_in_line(),
    "submit": lambda store, job_id: store.create(SPEC, total_steps=12, epochs=3),
}
SMALL = ("tenant_turns",)
"""Tables that are read whole: they have a row for each tenant."""
WHOLE_TABLE = {"sqlite": ("SCAN ",), "postgresql": ("Seq Scan",)}
"""How a plan says that it reads every row of a table."""


@contextmanager
def selects(engine: sa.Engine) -> Iterator[list[tuple[str, object]]]:
    """Collect the reading statements that are sent, with their parameters."""
    sent: list[tuple[str, object]] = []

    def note(_connection, _cursor, statement, parameters, _context, _many) -> None:
        if statement.startswith("SELECT") and "FROM" in statement:
            sent.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    yield sent
    sa.event.remove(engine, "before_cursor_execute", note)


def plan(engine: sa.Engine, statement: str, parameters: object) -> str:
    with database.reading(engine) as connection:
        if engine.dialect.name == "postgresql":  # a small table is read whole and sorted unless this says not to
            for cheap in ("seqscan", "bitmapscan", "sort"):
                connection.exec_driver_sql(f"SET LOCAL enable_{cheap} = off")
        explain = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}[engine.dialect.name]
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters))


@pytest.mark.parametrize("name", CALLS)
def test_no_call_reads_a_whole_table(store: JobStore, engine: sa.Engine, name: str):
    job_ids = [store.create(SPEC, total_steps=12, epochs=3).id for _ in range(3)]
    with selects(engine) as sent:
        CALLS[name](store, job_ids[1])
    assert sent
    for statement, parameters in sent:
        found = "\n".join(
            line for line in plan(engine, statement, parameters).splitlines() if not any(name in line for name in SMALL)
        )
        ordered = "ORDER BY jobs.number" in statement and "LIMIT" in statement  # ends at the limit, in the key's order
        assert ordered or not any(sign in found for sign in WHOLE_TABLE[engine.dialect.name]), f"{statement}\n{found}"
        assert not ordered or not any(sign in found for sign in ("TEMP B-TREE", "Sort")), f"{statement}\n{found}"
