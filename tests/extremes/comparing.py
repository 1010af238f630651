"""What the engine gives beside what a real library gives, case by case: agree, reproduced, finding or open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.golden.train_case import FLOORS, error, magnitude

VERDICTS = ("agree", "reproduced", "kernels", "refused", "finding", "open", "absent")
_COLUMNS = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3}


@dataclass(frozen=True)
class Answer:
    """What came out of one case.

    Attributes:
        arrays: the output "y", gradients of inputs "gx0" and of weights "gw0".
        dtype: of the output.
        error: what was raised in place of an answer.
    """

    arrays: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = ""
    error: str = ""


@dataclass(frozen=True)
class Row:
    """One case, compared.

    Attributes:
        case: what was run.
        verdict: "agree"; "reproduced" where something infinite or nan came out, as in the library; "kernels" where the
            library's sets of kernels differ from one another, and the engine from one of them by no more; "refused"
            where both raise; "finding" where they differ and the linter says so; "absent" where the library has no
            such layer; "open".
        why: what differs.
    """

    case: Mapping[str, Any]
    verdict: str
    why: str = ""


def compared(case: Mapping[str, Any], ours: Answer, real: Sequence[Answer], codes: Sequence[str]) -> Row:
    """Compare one case.

    Args:
        case: what was run.
        ours: of the engine.
        real: of the library, one for each set of its kernels.
        codes: of the linter's findings on the layer that speak of such differences.
    """
    first = real[0]
    if first.error:
        return _refused(case, ours, first.error, codes)
    if ours.error:
        return Row(case, "open", f"ours raises {ours.error}")
    why = difference(ours, first)
    if not why:
        finite = all(np.isfinite(array).all() for array in first.arrays.values())
        return Row(case, "agree" if finite else "reproduced")
    if any(_within(ours, one, other) for one in real for other in real if one is not other):
        return Row(case, "kernels", why)
    return Row(case, "finding" if set(codes) - {"original_refuses"} else "open", why)


def _refused(case: Mapping[str, Any], ours: Answer, error: str, codes: Sequence[str]) -> Row:
    if error.startswith("Absent"):
        return Row(case, "absent")
    if ours.error:
        return Row(case, "refused")
    return Row(case, "finding" if "original_refuses" in codes else "open", f"real raises {error}")


def _within(ours: Answer, one: Answer, other: Answer) -> bool:
    """Return whether ours is as near to one answer of the library as that is to the other, array by array."""
    if ours.dtype != one.dtype or set(ours.arrays) != set(one.arrays) or one.arrays.keys() != other.arrays.keys():
        return False
    tolerance, largest = _tolerance(one), _largest(one)
    for key, wanted in one.arrays.items():
        scale = None if key == "y" else largest
        if not error(ours.arrays[key], wanted, scale) <= max(tolerance, error(other.arrays[key], wanted, scale)):
            return False
    return True


def _tolerance(real: Answer) -> float:
    return FLOORS["output"][_COLUMNS[case_dtype(real)]]


def _largest(real: Answer) -> float:
    return magnitude(array for key, array in real.arrays.items() if key != "y")


def difference(ours: Answer, real: Answer) -> str:
    """Return where two answers differ, in words; nothing where they do not."""
    if ours.dtype != real.dtype:
        return f"output is {ours.dtype} for {real.dtype}"
    if set(ours.arrays) != set(real.arrays):
        return f"{sorted(ours.arrays)} for {sorted(real.arrays)}"
    tolerance, largest = _tolerance(real), _largest(real)
    for key, wanted in real.arrays.items():
        found = error(ours.arrays[key], wanted, None if key == "y" else largest)
        if not found <= tolerance:
            return f"{key}: error {found:.2g} {shown(ours.arrays[key], wanted)}"
    return ""


def case_dtype(real: Answer) -> str:
    """Return the dtype whose tolerance counts: that of the output."""
    return real.dtype if real.dtype in _COLUMNS else "float32"


def shown(found: Any, wanted: Any) -> str:
    """Return the numbers that are furthest from each other, in words."""
    a, b = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    if a.shape != b.shape:
        return f"{a.shape} for {b.shape}"
    with np.errstate(invalid="ignore"):
        apart = np.where(np.isfinite(a) & np.isfinite(b), np.abs(a - b), 0)
    apart = np.where((np.isfinite(a) == np.isfinite(b)) | (a == b), apart, np.inf)
    place = int(apart.argmax())
    return f"{a.ravel()[place]:.6g} for {b.ravel()[place]:.6g} ({int((apart == np.inf).sum())} not finite alike)"


def table(rows: Iterable[Row], key: str) -> str:
    """Return how many cases have which verdict, by what a key of the case says."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(str(row.case[key]), Counter())[row.verdict] += 1
    widths = [max(len(verdict), 7) for verdict in VERDICTS]
    header = f"{key:<26}" + " ".join(f"{verdict:>{width}}" for verdict, width in zip(VERDICTS, widths, strict=True))
    lines = [header]
    total: Counter[str] = Counter()
    for name, found in sorted(counts.items()):
        total.update(found)
        lines.append(_line(name, found, widths))
    return "\n".join([*lines, _line("all", total, widths)])


def _line(name: str, found: Counter[str], widths: Sequence[int]) -> str:
    return f"{name:<26}" + " ".join(f"{found[v]:>{width}}" for v, width in zip(VERDICTS, widths, strict=True))
