"""Comparison of what was expected with what came out."""

import math
from typing import Any

# Of these only the first line was recorded.
_FIRST_LINE_GROUPS = ("G6", "G7")
_FIRST_LINE_OPS = ("loss_scale_update_error",)
# Weights and slots go through other kernels than ours; everything else is exact.
_RELATIVE = {("apply_gradients", "weights"): 1e-5, ("apply_gradients", "slots"): 1e-5}
_UNCOMPARED = frozenset({"runtime_message"})


def differences(case: dict[str, Any], got: dict[str, Any]) -> dict[str, str]:
    """Return, by its name, every fact of a policy case that came out otherwise; facts beyond those are ignored."""
    expected = dict(case["expected"])
    got = dict(got)
    if expected.get("runtime_message"):
        expected.pop("message", None)
    if case["group"].startswith(_FIRST_LINE_GROUPS) or case["op"] in _FIRST_LINE_OPS:
        got["message"] = str(got.get("message", "")).split("\n", maxsplit=1)[0]
    return {
        key: f"{key}: expected {value!r}, got {got.get(key, 'nothing')!r}"
        for key, value in expected.items()
        if key not in _UNCOMPARED and not same(value, got.get(key), _tolerance(case["op"], key))
    }


def same(expected: Any, got: Any, tolerance: float = 0.0) -> bool:
    """Whether two JSON values are equal; "nan", "inf" and "-inf" stand for numbers, True is no number."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(same(expected[key], got[key], tolerance) for key in expected)
    if isinstance(expected, list) and isinstance(got, list | tuple):
        return len(expected) == len(got) and all(map(same, expected, got, [tolerance] * len(got)))
    if _is_number(got) and (_is_number(expected) or expected in ("nan", "inf", "-inf")):
        return _close(float(expected), float(got), tolerance)
    return type(expected) is type(got) and bool(expected == got)


def _tolerance(op: str, key: str) -> float:
    return _RELATIVE.get((op, key), 0.0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(expected: float, got: float, tolerance: float) -> bool:
    if math.isnan(expected) or math.isnan(got):
        return math.isnan(expected) and math.isnan(got)
    return expected == got or math.isclose(expected, got, rel_tol=tolerance, abs_tol=0.0)
