"""Metrics in chunks: exact, cut where a run resumes, thinned without losing what a plot must show."""

import json
import math

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.fakes import SPEC
from worker.jobs import database, metrics
from worker.jobs.metrics import CHUNK_STEPS
from worker.jobs.store import JobStore
from worker.jobs.tables import metric_chunks

NAMES = st.text(min_size=1, max_size=8)
FLOATS = st.floats(width=64)


def rows(first: int, last: int) -> list[dict[str, float]]:
    return [
        {"step": step, "loss": 1 / step, "loss_scale": 2.0 ** (step % 7), "applied": step % 100 != 0, "accuracy": 0.5}
        for step in range(first, last + 1)
    ]


@pytest.fixture
def job_id(store: JobStore) -> str:
    return store.create(SPEC, total_steps=1, epochs=1).id


def append(engine: sa.Engine, job_id: str, new: list[dict[str, float]]) -> None:
    with database.writing(engine) as connection:
        metrics.append(connection, job_id, new)


def truncate(engine: sa.Engine, job_id: str, step: int) -> None:
    with database.writing(engine) as connection:
        metrics.truncate(connection, job_id, step)


def chunks(engine: sa.Engine) -> list[tuple[int, int, int]]:
    table = metric_chunks.c
    with database.reading(engine) as connection:
        query = sa.select(table.first_step, table.last_step, table.skipped).order_by(table.first_step)
        return [tuple(row) for row in connection.execute(query)]


@given(st.dictionaries(NAMES, st.lists(FLOATS, min_size=3, max_size=3), min_size=1))
def test_packing_keeps_every_bit(columns):
    given_ = {name: np.array(values) for name, values in columns.items()}
    back = metrics.decode(metrics.encode(given_))
    assert {name: values.tobytes() for name, values in back.items()} == {
        name: values.tobytes() for name, values in given_.items()
    }


def test_rows_come_back_as_they_went_in(store: JobStore, engine: sa.Engine, job_id: str):
    append(engine, job_id, rows(1, 5))
    assert store.metrics(job_id) == {
        "step": [1, 2, 3, 4, 5],
        "loss": [1 / step for step in range(1, 6)],
        "loss_scale": [2.0, 4.0, 8.0, 16.0, 32.0],
        "applied": [True] * 5,
        "accuracy": [0.5] * 5,
    }
    assert store.metrics(job_id, names=["loss"], after_step=3) == {"step": [4, 5], "loss": [0.25, 0.2]}


def test_no_rows_are_empty_columns(store: JobStore, job_id: str):
    assert store.metrics(job_id, names=["loss"]) == {"step": [], "loss": []}
    assert store.faults(job_id) == ()


def test_many_small_writes_fill_chunks(store: JobStore, engine: sa.Engine, job_id: str):
    last = 2 * CHUNK_STEPS + 10
    for first in range(1, last, 100):
        append(engine, job_id, rows(first, min(first + 99, last)))
    assert [(first, end) for first, end, _ in chunks(engine)] == [
        (1, CHUNK_STEPS),
        (CHUNK_STEPS + 1, 2 * CHUNK_STEPS),
        (2 * CHUNK_STEPS + 1, last),
    ]
    assert store.metrics(job_id, max_points=10**6)["step"] == list(range(1, last + 1))
    assert sum(skipped for _, _, skipped in chunks(engine)) == 10


@pytest.mark.parametrize("step", [0, 1, 300, CHUNK_STEPS, CHUNK_STEPS + 1, 800, 900])
def test_cutting_keeps_what_is_before(store: JobStore, engine: sa.Engine, job_id: str, step: int):
    append(engine, job_id, rows(1, 900))
    truncate(engine, job_id, step)
    assert store.metrics(job_id, max_points=10**6)["step"] == list(range(1, step + 1))
    assert sum(skipped for _, _, skipped in chunks(engine)) == step // 100
    append(engine, job_id, rows(step + 1, 950))
    assert store.metrics(job_id, max_points=10**6)["step"] == list(range(1, 951))


def test_what_is_not_finite_is_named_not_printed(store: JobStore, engine: sa.Engine, job_id: str):
    append(engine, job_id, [{"step": 1, "loss": math.nan, "grad_norm": -math.inf}, {"step": 2, "loss": 1.0}])
    answer = store.metrics(job_id)
    assert answer["loss"] == [None, 1.0]
    assert answer["nonfinite"][0] == {"loss": "nan", "grad_norm": "-inf"}
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_finite_names_what_is_not():
    assert metrics.finite({"a": 1.0, "b": math.inf}) == {"a": 1.0, "b": None, "nonfinite": {"b": "inf"}}
    assert metrics.finite({"step": 3.0, "applied": 0.0}) == {"step": 3, "applied": False}


def test_a_plot_of_many_chunks_reads_their_summaries(store: JobStore, engine: sa.Engine, job_id: str):
    last = 40 * CHUNK_STEPS + 7
    append(engine, job_id, [{**row, "loss": 9.0} if row["step"] == 3000 else row for row in rows(1, last)])
    whole = store.metrics(job_id, max_points=last)
    with database.writing(engine) as connection:  # but for the chunk in which the plot begins
        unread = metric_chunks.c.first_step > CHUNK_STEPS
        connection.execute(sa.update(metric_chunks).where(unread).values(body=b"never read"))
    plot = store.metrics(job_id, after_step=100, max_points=100)
    assert len(plot["step"]) <= 100
    assert 100 < plot["step"][0] <= CHUNK_STEPS
    assert plot["step"][-1] == last
    assert max(plot["loss"][1:]) == 9.0
    assert set(plot["loss_scale"]) >= {1.0, 64.0}
    assert False in plot["applied"]
    chosen = [step - 1 for step in plot["step"]]
    assert plot == {name: [values[row] for row in chosen] for name, values in whole.items()}


@pytest.mark.parametrize(("after", "until"), [(0, 10), (600, 700), (700, 30 * CHUNK_STEPS), (0, 10**6), (9, 3)])
def test_a_stretch_is_told_alone(store: JobStore, engine: sa.Engine, job_id: str, after: int, until: int):
    last = 40 * CHUNK_STEPS
    append(engine, job_id, rows(1, last))
    plot = store.metrics(job_id, after_step=after, until_step=until, max_points=100)["step"]
    wanted = range(after + 1, min(until, last) + 1)
    assert len(plot) <= 100
    assert set(plot) <= set(wanted)
    assert plot[-1:] == list(wanted)[-1:]
    assert len(plot) == len(wanted) or len(wanted) > 100


def test_chunks_without_summaries_are_read_whole(store: JobStore, engine: sa.Engine, job_id: str):
    append(engine, job_id, rows(1, 40 * CHUNK_STEPS))
    plot = store.metrics(job_id, max_points=100)
    with database.writing(engine) as connection:
        connection.execute(sa.update(metric_chunks).values(summary=None))
    assert store.metrics(job_id, max_points=100) == plot
