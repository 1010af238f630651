"""The tables as text."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from benchmarks.training.measuring import Cell, Plan
from benchmarks.training.systems import MINE

_MB = 1e6


def head(plan: Plan) -> str:
    """Say what was measured and how, and name the columns."""
    peers = [name for name in plan.systems if name != MINE]
    return (
        f"{plan.threads} thread(s) a system, {plan.rounds} rounds in turns, {platform.machine()}. Ratio: peer / ours, "
        "median of the rounds.\nPeak: resident MB of the process while training, (+ what training added to it).\n"
        f"{'':70}{'ours ms':>10}{'of float32':>12}"
        + "".join(f"{name:>13}" for name in peers)
        + "   peak MB, "
        + ", ".join(plan.systems)
    )


def lines(found: Sequence[Cell], systems: Sequence[str]) -> str:
    """Return one line for each policy of a row."""
    return "\n".join(_line(cell, systems) for cell in found)


def _line(cell: Cell, systems: Sequence[str]) -> str:
    share = f"{'':12}" if cell.of_float32 is None else f"{cell.of_float32:11.2f}x"
    peers = [name for name in systems if name != MINE]
    ratios = "".join(f"{cell.ratios[name]:12.2f}x" if name in cell.ratios else f"{'fails':>13}" for name in peers)
    memory = ", ".join(_memory(cell, name) for name in systems)
    failures = "".join(f"\n    {name}: {text[:160]}" for name, text in cell.failures.items())
    return f"{cell.row:54.54}{cell.policy:>16}{cell.ours * 1e3:10.2f}{share}{ratios}   {memory}{failures}"


def _memory(cell: Cell, name: str) -> str:
    if name not in cell.memory:
        return "-"
    found = cell.memory[name]
    return f"{found.peak / _MB:.0f} (+{(found.peak - found.before) / _MB:.0f})"
