"""Comparison of what was expected with what came out."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Of these only the first line was recorded.
_FIRST_LINE_GROUPS = ("G6", "G7")
_FIRST_LINE_OPS = ("loss_scale_update_error",)
# Weights and slots go through other kernels than ours; everything else is exact.
_RELATIVE = {"apply_gradients": {"weights": 1e-5, "slots": 1e-5}}
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
        if key not in _UNCOMPARED and not same(value, got.get(key), _RELATIVE.get(case["op"], {}))
    }


def same(
    expected: Any, got: Any, tolerances: Mapping[str, float] = MappingProxyType({}), tolerance: float = 0.0
) -> bool:
    """Whether two JSON values are equal; "nan", "inf" and "-inf" stand for numbers, True is no number.

    Args:
        expected: as recorded.
        got: as it came out.
        tolerances: the relative tolerance of everything below a key of a dict.
        tolerance: the relative tolerance here.
    """
    if isinstance(expected, dict) and isinstance(got, dict):
        pairs = ((key, expected[key], got.get(key)) for key in expected)
        inside = (same(left, right, tolerances, tolerances.get(key, tolerance)) for key, left, right in pairs)
        return expected.keys() == got.keys() and all(inside)
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        inside = (same(left, right, tolerances, tolerance) for left, right in zip(expected, got, strict=False))
        return len(expected) == len(got) and all(inside)
    if _is_number(got) and (_is_number(expected) or expected in ("nan", "inf", "-inf")):
        return _close(float(expected), float(got), tolerance)
    return type(expected) is type(got) and bool(expected == got)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(expected: float, got: float, tolerance: float) -> bool:
    if math.isnan(expected) or math.isnan(got):
        return math.isnan(expected) and math.isnan(got)
    return expected == got or math.isclose(expected, got, rel_tol=tolerance, abs_tol=0.0)
