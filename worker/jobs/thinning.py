"""Few rows of many, such that a plot of them looks the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float64]]
"""Equally long columns by name; `step` ascends."""

RULE = (
    "Of each of equally many steps: the rows with the least and the greatest loss and loss scale, and the first and "
    "the last step that was not applied. The very last row is kept too."
)
PER_STRETCH = 6
"""Rows that the rule keeps of a stretch, at most."""


def join(parts: Sequence[Columns]) -> Columns:
    """Put columns one after the other; a column that a part lacks is nan there."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: np.concatenate([part.get(name, np.full(len(part["step"]), np.nan)) for part in parts]) for name in names
    }


def pick(columns: Columns, chosen: NDArray[np.bool_]) -> Columns:
    """The rows that a mask chooses."""
    return {name: values[chosen] for name, values in columns.items()}


def stretches(after: int, last: int, max_points: int) -> NDArray[np.float64]:
    """Return the steps at which stretches end, the last of them at `last`, such that `max_points` rows are kept."""
    count = max((max_points - 1) // PER_STRETCH, 1)
    return np.linspace(after, last, count + 1)[1:]


def thin(columns: Columns, ends: NDArray[np.float64]) -> Columns:
    """Keep of every stretch what `RULE` says. Thinning what was thinned changes nothing."""
    steps = columns["step"]
    keep = np.zeros(len(steps), dtype=bool)
    keep[-1:] = True
    edges = np.searchsorted(steps, ends, side="right")
    for start, stop in itertools.pairwise(np.unique([0, *edges])):
        keep[start + np.fromiter(_telling(columns, slice(start, stop)), np.int64)] = True
    return pick(columns, keep)


def _telling(columns: Columns, stretch: slice) -> Iterator[int]:
    """Yield the rows of a stretch that must not vanish, counted from its start."""
    for name in ("loss", "loss_scale"):
        if name in columns:
            values = columns[name][stretch]
            yield int(np.where(np.isnan(values), np.inf, values).argmin())
            yield int(np.where(np.isnan(values), -np.inf, values).argmax())
    if "applied" in columns:
        skipped = np.flatnonzero(columns["applied"][stretch] == 0)
        yield from {*skipped[:1].tolist(), *skipped[-1:].tolist()}
