"""Smaller models that still differ: calls, settings, outputs and single dtypes are taken away one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

Plan = dict[str, Any]
KEPT = {"units", "filters", "kernel_size", "n", "target_shape", "dims", "layer", "input_dim", "output_dim", "axes"}
"""Settings without which a layer cannot be made."""
MOST_QUESTIONS = 60


def _used(plan: Plan) -> Plan:
    """Return a plan without calls, layers and inputs that lead to no output."""
    needed = set(plan["outputs"])
    for call in reversed(plan["calls"]):
        if call["name"] in needed:
            needed |= set(call["of"])
    plan["calls"] = [call for call in plan["calls"] if call["name"] in needed]
    layers = {call["layer"] for call in plan["calls"]}
    plan["layers"] = {name: spec for name, spec in plan["layers"].items() if name in layers}
    plan["inputs"] = [one for one in plan["inputs"] if one["name"] in needed]
    return plan


def _without_call(plan: Plan, index: int) -> Iterator[Plan]:
    gone = plan["calls"][index]
    if gone["name"] in plan["outputs"]:
        return
    for source in dict.fromkeys(gone["of"]):
        smaller = copy.deepcopy(plan)
        del smaller["calls"][index]
        for call in smaller["calls"]:
            call["of"] = [source if name == gone["name"] else name for name in call["of"]]
        yield _used(smaller)


def _without_settings(plan: Plan) -> Iterator[Plan]:
    for name, spec in plan["layers"].items():
        for key in [*spec.get("config", {}), *(["dtype"] if "dtype" in spec else [])]:
            if key not in KEPT:
                smaller = copy.deepcopy(plan)
                smaller["layers"][name].get("config", {}).pop(key, None)
                if key == "dtype":
                    smaller["layers"][name].pop("dtype")
                yield smaller


def smaller_plans(plan: Plan) -> Iterator[Plan]:
    """Yield plans with one thing less."""
    for index in range(len(plan["outputs"]) if len(plan["outputs"]) > 1 else 0):
        smaller = copy.deepcopy(plan)
        del smaller["outputs"][index]
        del smaller["losses"][index]
        yield _used(smaller)
    for index in range(len(plan["calls"])):
        yield from _without_call(plan, index)
    yield from _without_settings(plan)
    for key, value in (("weighted", False), ("optimizer", {"class_name": "SGD", "config": {"learning_rate": 0.01}})):
        if plan[key] != value:
            yield {**copy.deepcopy(plan), key: value}


def shrunk(case: Any, record: Callable[[Plan], Any], differs: Callable[[Any], bool]) -> Any:
    """Return the smallest case found that still differs."""
    asked, going = 0, True
    while going and asked < MOST_QUESTIONS:
        going = False
        for plan in smaller_plans(case["plan"]):
            asked += 1
            found = record(plan)
            if "invalid" not in found and differs(found):
                case, going = found, True
                break
            if asked >= MOST_QUESTIONS:
                break
    return case
