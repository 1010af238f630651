"""Metrics per training step: kept in compressed chunks, cut when a run is resumed, thinned when they are read."""

import itertools
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from worker.jobs.tables import metric_chunks

CHUNK_STEPS = 512
"""Steps of a full chunk. A chunk in the making is written anew by each flush, so it must stay small."""

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

Rows = Sequence[Mapping[str, float]]
Columns = dict[str, NDArray[np.float64]]


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


def join(parts: Sequence[Columns]) -> Columns:
    """Put columns one after the other; a column that a part lacks is nan there."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: np.concatenate([part.get(name, np.full(len(part["step"]), np.nan)) for part in parts]) for name in names
    }


def pick(columns: Columns, chosen: NDArray[Any]) -> Columns:
    """The rows that a mask or an index array chooses."""
    return {name: values[chosen] for name, values in columns.items()}


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
    return {"last_step": int(columns["step"][-1]), "skipped": skipped, "body": encode(columns)}


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


def read(connection: sa.Connection, job_id: str, after_step: int = 0, skipped_only: bool = False) -> Columns:
    """All rows after `after_step`, or only those of steps that were not applied; empty columns if there are none."""
    wanted = [metric_chunks.c.job_id == job_id, metric_chunks.c.last_step > after_step]
    if skipped_only:
        wanted.append(metric_chunks.c.skipped > 0)
    query = sa.select(metric_chunks.c.body).where(*wanted).order_by(metric_chunks.c.first_step)
    parts = [decode(body) for body in connection.execute(query).scalars()]
    if not parts:
        return {name: np.empty(0) for name in COLUMNS}
    columns = join(parts)
    keep = columns["step"] > after_step
    if skipped_only:
        keep &= columns["applied"] == 0
    return pick(columns, keep)


def thin(columns: Columns, max_points: int) -> Columns:
    """About `max_points` rows of many, such that a plot looks the same.

    Of each of equally long stretches the rows with the least and the greatest loss scale and loss are kept, and so is
    the very last row. Every step that was not applied is kept too, even where that makes more than `max_points` rows.
    """
    total = len(columns["step"])
    if total <= max_points:
        return columns
    edges = np.linspace(0, total, max(max_points // 4, 1) + 1).astype(np.int64)
    keep = np.zeros(total, dtype=bool)
    keep[-1] = True
    if "applied" in columns:
        keep |= columns["applied"] == 0
    for name in ("loss_scale", "loss"):
        keep[list(_extremes(columns.get(name, np.zeros(total)), edges))] = True
    return pick(columns, keep)


def _extremes(values: NDArray[np.float64], edges: NDArray[np.int64]) -> Iterable[int]:
    low = np.where(np.isnan(values), np.inf, values)
    high = np.where(np.isnan(values), -np.inf, values)
    for start, stop in itertools.pairwise(edges):
        yield int(start + low[start:stop].argmin())
        yield int(start + high[start:stop].argmax())


def listed(columns: Columns, names: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Columns as lists for JSON: int, bool or float as in `COLUMNS`; what is not finite is None.

    Where a float column has such values, the column `nonfinite` says for each row which: a mapping from column name to
    "nan", "inf" or "-inf", or None. `step` is always there; other names are left out if `names` lists some.
    """
    chosen = {name: values for name, values in columns.items() if not names or name == "step" or name in names}
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
