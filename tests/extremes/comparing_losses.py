"""What the engine gives beside what a real library gives, case by case: agree, reproduced, finding or open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Answer = Mapping[str, Any]
TOLERANCES = {"float32": 3e-5, "float16": 4e-3, "bfloat16": 3.2e-2}
"""Of a number by its size: four steps of the dtype, and in float32 what other orders of adding make."""
SMALLEST = {"float32": 1.2e-7, "float16": 1.2e-7, "bfloat16": 1.2e-7}
"""A number up to which two may differ: what rounding makes of numbers around 1, or two subnormals of float16."""
BITES = 0.05
"""How far a number in 16 bits lies from that in float32 where the precision is what the case shows."""
STRANGE = ("has no attribute", "is not a valid argument", "nexpected keyword argument")
"""How a library says that it has no such class or setting."""
VERDICTS = ("agree", "reproduced", "finding", "beyond", "refused", "absent", "open")
KEYS = ("value", "gradient", "results", "after", "averaged")


@dataclass(frozen=True)
class Row:
    """One case, compared.

    Attributes:
        case: what was run.
        verdict: "agree"; "reproduced" where float32 gives something else, and the engine what the library gives;
            "finding" where the library raises, the engine answers, and a warning of the job says so; "beyond" where
            none does; "refused" where both raise; "absent" where the library has no such thing or setting; "open".
        why: what differs.
    """

    case: Mapping[str, Any]
    verdict: str
    why: str = ""


def compared(case: Mapping[str, Any], ours: Answer, real: Answer, wide: Answer | None) -> Row:
    """Compare one case.

    Args:
        case: what was run.
        ours: of the engine.
        real: of the library.
        wide: of the engine in float32; None where the case is in float32.
    """
    if ours.get("crash"):
        return Row(case, "open", f"ours crashes with {ours['error']}: {ours['message']}; real {_outcome(real)}")
    if "error" in real:
        if "error" in ours:
            return Row(case, "refused")
        why = f"real raises {real['error']}: {real['message']}"
        return Row(case, "absent" if any(words in real["message"] for words in STRANGE) else "beyond", why)
    if "error" in ours:
        return Row(case, "open", f"ours raises {ours['error']}: {ours['message']}")
    why = difference(case, ours, real)
    if why:
        return Row(case, "open", why)
    bites = wide is not None and ("error" in wide or bool(difference(case, wide, real, BITES)))
    return Row(case, "reproduced" if bites else "agree")


def _outcome(answer: Answer) -> str:
    return f"raises {answer['error']}" if "error" in answer else "answers"


def difference(case: Mapping[str, Any], ours: Answer, real: Answer, tolerance: float | None = None) -> str:
    """Return where two answers differ, in words; nothing where they do not."""
    allowed = tolerance or TOLERANCES[case["dtype"]]
    for key in KEYS:
        if key in real:
            found, wanted = np.array(ours[key], float), np.array(real[key], float)
            if found.shape != wanted.shape:
                return f"{key}: {found.shape} for {wanted.shape}"
            if not close(found, wanted, allowed, SMALLEST[case["dtype"]]):
                return f"{key}: ours {shown(found, wanted)}"
    return ""


def close(found: np.ndarray, wanted: np.ndarray, allowed: float, smallest: float) -> bool:
    """Return whether numbers are as near as their dtype asks, and infinite or nan in the same places."""
    finite = np.isfinite(wanted)
    if not np.array_equal(finite, np.isfinite(found)) or not np.array_equal(
        found[~finite], wanted[~finite], equal_nan=True
    ):
        return False
    gap, size = np.abs(found[finite] - wanted[finite]), np.abs(wanted[finite])
    largest = size.max(initial=0)  # beside it the rounding of others is nothing
    return bool((gap <= allowed * size + smallest + allowed * largest / 64).all())


def shown(found: np.ndarray, wanted: np.ndarray) -> str:
    """Return the first numbers that differ most."""
    with np.errstate(all="ignore"):
        worse = np.where(np.isfinite(found - wanted), np.abs(found - wanted) / (np.abs(wanted) + 1e-30), np.inf)
        worse = np.where((found == wanted) | (np.isnan(found) & np.isnan(wanted)), 0, worse)
    places = np.argsort(-worse.ravel())[:3]
    return " ".join(f"[{place}] {found.ravel()[place]:.6g} for {wanted.ravel()[place]:.6g}" for place in places)


def table(rows: list[Row]) -> str:
    """Return how many cases of each class came out how."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(f"{row.case['kind']} {row.case['name']}", Counter())[row.verdict] += 1
    lines = [f"{'':44}" + "".join(f"{verdict:>11}" for verdict in VERDICTS)]
    lines += [f"{name:44}" + "".join(f"{count[verdict]:11}" for verdict in VERDICTS) for name, count in counts.items()]
    total: Counter[str] = sum(counts.values(), Counter())
    return "\n".join([*lines, f"{'all':44}" + "".join(f"{total[verdict]:11}" for verdict in VERDICTS)])
