"""Metrics per training step: kept in compressed chunks, cut when a run is resumed, thinned when they are read."""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from worker.jobs import thinning
from worker.jobs.tables import metric_chunks
from worker.jobs.thinning import Columns, join, pick

CHUNK_STEPS = 512
"""Steps of a full chunk. A chunk in the making is written anew by each flush, so it must stay small."""

_READ_CHUNKS = 128
"""Chunks whose summaries are held at a time."""

COLUMNS: Mapping[str, type] = {
    "step": int,
    "epoch": int,
    "loss": float,
    "loss_scale": float,
    "loss_scale_after": float,
    "counter": int,
    "grads_finite": bool,
    "applied": bool,
    "grad_norm": float,
    "learning_rate": float,
    "iterations": int,
}
"""What each step tells, with the type it is served as; a job's own metrics (accuracy, ...) follow as floats."""

REASON = "fault/reason"
"""The column that says why a step was not finite, by its number in `REASONS`; steps that were lack it."""
REASONS = ("", "nonfinite_weights", "nonfinite_forward", "nonfinite_loss", "nonfinite_gradient")
"""Numbers are stored: only ever add to the end."""

Rows = Sequence[Mapping[str, float]]


def encode(columns: Columns) -> bytes:
    """Pack equally long float64 columns; nan and infinities are kept as they are."""
    names = list(columns)
    header = json.dumps(names).encode()
    return header + b"\n" + zlib.compress(np.stack([columns[name] for name in names]).tobytes(), 1)


def decode(body: bytes) -> Columns:
    """The inverse of `encode`."""
    header, _, packed = body.partition(b"\n")
    names = json.loads(header)
    values = np.frombuffer(zlib.decompress(packed), dtype=np.float64).reshape(len(names), -1)
    return dict(zip(names, values, strict=True))


def gather(rows: Rows) -> Columns:
    """Turn rows into columns; a value that a row lacks is nan."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows], dtype=np.float64) for name in names}


def append(connection: sa.Connection, job_id: str, rows: Rows) -> None:
    """Add rows (ascending steps) to the job; steps that are there already are left as they are."""
    new = gather(rows)
    starts = (new["step"].astype(np.int64) - 1) // CHUNK_STEPS * CHUNK_STEPS + 1
    for start in np.unique(starts):
        _append_to_chunk(connection, job_id, int(start), pick(new, starts == start))


def _append_to_chunk(connection: sa.Connection, job_id: str, start: int, new: Columns) -> None:
    here = (metric_chunks.c.job_id == job_id, metric_chunks.c.first_step == start)
    body = connection.execute(sa.select(metric_chunks.c.body).where(*here)).scalar_one_or_none()
    if body is None:
        connection.execute(sa.insert(metric_chunks).values(job_id=job_id, first_step=start, **_chunk(new)))
        return
    old = decode(body)
    new = pick(new, new["step"] > old["step"][-1])
    if len(new["step"]):
        connection.execute(sa.update(metric_chunks).where(*here).values(**_chunk(join([old, new]))))


def _chunk(columns: Columns) -> dict[str, Any]:
    skipped = int((columns["applied"] == 0).sum()) if "applied" in columns else 0
    summary = encode(thinning.thin(columns, columns["step"][-1:]))
    values = {"last_step": int(columns["step"][-1]), "skipped": skipped, "faults": int(_faulty(columns).sum())}
    return {**values, "body": encode(columns), "summary": summary}


def _faulty(columns: Columns) -> NDArray[np.bool_]:
    """Which rows are of steps that were not finite; every skipped step was not."""
    found = np.zeros(len(columns["step"]), dtype=bool)
    for name in ("applied", "grads_finite"):
        if name in columns:
            found |= columns[name] == 0
    return found | (columns[REASON] > 0) if REASON in columns else found


def truncate(connection: sa.Connection, job_id: str, step: int) -> None:
    """Forget every row after `step`: the run goes on from there and will write them again."""
    mine = metric_chunks.c.job_id == job_id
    connection.execute(sa.delete(metric_chunks).where(mine, metric_chunks.c.first_step > step))
    for chunk in connection.execute(sa.select(metric_chunks).where(mine, metric_chunks.c.last_step > step)).all():
        columns = decode(chunk.body)
        values = _chunk(pick(columns, columns["step"] <= step))
        here = (mine, metric_chunks.c.first_step == chunk.first_step)
        connection.execute(sa.update(metric_chunks).where(*here).values(**values))


def skipped_steps(connection: sa.Connection, job_id: str) -> int:
    """How many recorded steps of the job were not applied."""
    total = sa.select(sa.func.coalesce(sa.func.sum(metric_chunks.c.skipped), 0))
    return int(connection.execute(total.where(metric_chunks.c.job_id == job_id)).scalar_one())


NO_END = 2**62
"""Beyond every step."""


def read(
    connection: sa.Connection, job_id: str, after_step: int = 0, until_step: int = NO_END, *, faults_only: bool = False
) -> Columns:
    """All rows of a stretch, or only those of steps that were not finite; empty columns if there are none."""
    table = metric_chunks.c
    wanted = [table.job_id == job_id, table.last_step > after_step, table.first_step <= until_step]
    if faults_only:
        wanted.append(table.faults > 0)
    query = sa.select(table.body).where(*wanted).order_by(metric_chunks.c.first_step)
    parts = [decode(body) for body in connection.execute(query).scalars()]
    if not parts:
        return {name: np.empty(0) for name in COLUMNS}
    columns = join(parts)
    keep = (columns["step"] > after_step) & (columns["step"] <= until_step)
    if faults_only:
        keep &= _faulty(columns)
    return pick(columns, keep)


def last_step(connection: sa.Connection, job_id: str) -> int:
    """The last step that the job has a row of, 0 if it has none."""
    query = sa.select(sa.func.coalesce(sa.func.max(metric_chunks.c.last_step), 0))
    return int(connection.execute(query.where(metric_chunks.c.job_id == job_id)).scalar_one())


def read_thinned(
    connection: sa.Connection, job_id: str, after_step: int, max_points: int, until_step: int = NO_END
) -> Columns:
    """Rows after `after_step` up to `until_step`, thinned by `thinning.RULE` to about `max_points` if there are more.

    Where a stretch is longer than a chunk, it is made to end with one, and summaries are read in place of rows, some at
    a time: it takes neither much longer nor more memory for a million steps than for some thousands.
    """
    last = min(last_step(connection, job_id), until_step)
    if last - after_step <= max_points:
        return read(connection, job_id, after_step, until_step)
    ends = thinning.stretches(after_step, last, max_points)
    if (last - after_step) / len(ends) < CHUNK_STEPS:
        return thinning.thin(read(connection, job_id, after_step, until_step), ends)
    ends = np.ceil(ends / CHUNK_STEPS) * CHUNK_STEPS
    table = metric_chunks.c
    # The chunks in which the rows begin and end are cut; those of before revision 0007 have no summary.
    cut = sa.or_(table.first_step <= after_step, table.last_step > until_step)
    wanted = sa.case((cut, table.body), else_=sa.func.coalesce(table.summary, table.body))
    here = (table.job_id == job_id, table.last_step > after_step, table.first_step <= until_step)
    query = sa.select(wanted).where(*here).order_by(table.first_step)
    parts: list[Columns] = []
    for bodies in connection.execute(query.execution_options(yield_per=_READ_CHUNKS)).scalars().partitions():
        columns = join([decode(body) for body in bodies])
        inside = (columns["step"] > after_step) & (columns["step"] <= until_step)
        parts.append(thinning.thin(pick(columns, inside), ends))
    return thinning.thin(join(parts), ends)


def listed(columns: Columns, names: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Columns as lists for JSON: int, bool or float as in `COLUMNS`; what is not finite is None.

    Where a float column has such values, the column `nonfinite` says for each row which: a mapping from column name to
    "nan", "inf" or "-inf", or None. `step` is always there; other names are left out if `names` lists some.
    """
    shown = {name: values for name, values in columns.items() if name != REASON}
    chosen = {name: values for name, values in shown.items() if not names or name == "step" or name in names}
    answer = {name: [_typed(name, value) for value in values.tolist()] for name, values in chosen.items()}
    # A value missing by design (a column that began later) is nan too and is told the same way.
    bad = {name: ~np.isfinite(values) for name, values in chosen.items()}
    if any(mask.any() for mask in bad.values()):
        rows = range(len(columns["step"]))
        answer["nonfinite"] = [
            {name: str(chosen[name][row]) for name in chosen if bad[name][row]} or None for row in rows
        ]
    return answer


def _typed(name: str, value: float) -> Any:
    return COLUMNS.get(name, float)(value) if np.isfinite(value) else None


def finite(values: Mapping[str, float]) -> dict[str, Any]:
    """Values for JSON: what is not finite becomes None and is named under "nonfinite"."""
    bad = {name: str(float(value)) for name, value in values.items() if not np.isfinite(value)}
    answer: dict[str, Any] = {name: _typed(name, value) for name, value in values.items()}
    return {**answer, "nonfinite": bad} if bad else answer
