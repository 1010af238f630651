"""A grid over the fields of a job: which jobs it makes, and where a fault of one of them belongs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from worker.settings import Limits
from worker.specs.errors import FieldError, SpecError, pointer_to
from worker.specs.wording import shown

Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class GridPoint:
    """One job of a grid.

    Attributes:
        values: what varies, by JSON pointer into the job.
        indexes: which of each pointer's values it is.
        job: the job with these values in place.
    """

    values: Mapping[str, Any]
    indexes: Mapping[str, int]
    job: dict[str, Any]


def points_of(base: Mapping[str, Any], grid: Grid, limits: Limits) -> Iterator[GridPoint]:
    """Yield every job of a grid, the last pointer varying fastest.

    Raises:
        SpecError: too many jobs, or a pointer that leads nowhere; pointers into `{"job": ..., "grid": ...}`.
    """
    count = math.prod(len(values) for values in grid.values())
    if not 1 <= count <= limits.sweep_jobs:
        text = f"The grid makes {count} jobs; a sweep has from 1 to {limits.sweep_jobs}."
        raise SpecError([FieldError("resource_limit", "ValueError", text, "/grid")])
    _check_data(base, count, limits)
    for indexes in itertools.product(*(range(len(values)) for values in grid.values())):
        chosen = dict(zip(grid, indexes, strict=True))
        values = {pointer: grid[pointer][index] for pointer, index in chosen.items()}
        job = dict(base)
        for pointer, value in values.items():
            _put(job, pointer, value)
        yield GridPoint(values, chosen, job)


def _check_data(base: Mapping[str, Any], count: int, limits: Limits) -> None:
    """Each job keeps the rows that it carries; so many copies of many rows are too many."""
    data = base.get("data")
    rows = data.get("x") if isinstance(data, Mapping) else None
    numbers = count * _leaves(rows)
    if numbers > limits.inline_values:
        text = (
            f"{count} jobs would carry {numbers:,} numbers of inline data together; at most {limits.inline_values:,}. "
            "Upload the data as a file, or use a built-in data set."
        )
        raise SpecError([FieldError("resource_limit", "ValueError", text, "/job/data/x")])


def _leaves(value: Any) -> int:
    """How many numbers nested lists hold."""
    waiting, count = [value], 0
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting.extend(entry for entry in item if isinstance(entry, list))
            count += sum(not isinstance(entry, list) for entry in item)
    return count


def _put(job: dict[str, Any], pointer: str, value: Any) -> None:
    """Set the place of a JSON pointer (RFC 6901); objects on the way that are not there are made.

    What stands on the way is copied, and nothing else: the points of a grid share the rest.
    """
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    if parts[:1] == ["webhooks"]:
        raise _nowhere(pointer, "Webhooks hold secrets, and a grid is shown; they are the same for every job.")
    if not pointer.startswith("/") or not parts:
        raise _nowhere(pointer, "It must begin with '/', as in '/policy' or '/fit/batch_size'.")
    place: Any = job
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if isinstance(place, list):
            if not part.isdecimal() or len(part) > 9 or int(part) >= len(place):
                raise _nowhere(pointer, f"The list before {part!r} has {len(place)} entries.")
            key: Any = int(part)
        elif isinstance(place, dict):
            key = part
        else:
            raise _nowhere(pointer, f"Before {part!r} stands {shown(place)}, which has no members; write it out.")
        if last:
            place[key] = value
        else:
            inside = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
            place[key] = copy(inside)
            place = place[key]


def _nowhere(pointer: str, why: str) -> SpecError:
    text = f"The pointer {pointer!r} leads nowhere in the job. {why}"
    return SpecError([FieldError("invalid_pointer", "ValueError", text, pointer_to(("grid", pointer)))])


def placed(errors: Iterable[FieldError], point: GridPoint) -> Iterator[FieldError]:
    """Yield the faults of a point's job as faults of the sweep: at the value that made them, or at the job."""
    for error in errors:
        axis = next((at for at in point.values if f"{error.pointer}/".startswith(f"{at}/")), None)
        if axis is None:
            where = ", ".join(f"{pointer} = {shown(value)}" for pointer, value in point.values.items())
            yield FieldError(error.code, error.type, f"With {where}: {error.message}", f"/job{error.pointer}")
        else:
            place = pointer_to(("grid", axis, point.indexes[axis])) + error.pointer.removeprefix(axis)
            yield FieldError(error.code, error.type, error.message, place)
