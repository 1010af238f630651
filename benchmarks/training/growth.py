"""How a step's cost grows with the batch and with the width of hidden layers, in mixed_float16."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from benchmarks.training.measuring import Plan, timed
from benchmarks.training.models import Row, mlp
from benchmarks.training.systems import SYSTEMS, Process

AXES = ("batch", "width")
FACTORS = (1, 2, 4, 8, 16, 32)
POLICY = "mixed_float16"
BATCH, WIDTH = 32, 64


def grown(axis: str, factor: int) -> Row:
    """Return an MLP with two hidden layers whose batch or width is so many times the smallest."""
    batch, width = (BATCH * factor, 2 * WIDTH) if axis == "batch" else (BATCH, WIDTH * factor)
    return mlp(784, (width, width), batch)


def table(plan: Plan, axis: str) -> str:
    """Measure all sizes in turns, system by system; return milliseconds a step, and how often they became the first."""
    lines = [f"\nstep of {POLICY}, growing {axis}: ms, and as a multiple of 1x"]
    lines.append("".join(f"{'':44}" if name == "" else f"{name:>20}" for name in ("", *plan.systems)))
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(Process(SYSTEMS[name], plan.threads, plan.logs / f"{name}.log"))
            for name in plan.systems
        }
        first: dict[str, float] = {}
        for factor in FACTORS:
            row = grown(axis, factor)
            for process in running.values():
                process.build(row.spec(POLICY, plan.threads))
            seconds = {name: statistics.median(found) for name, found in timed(plan, running).items()}
            first = first or seconds
            figures = "".join(f"{seconds[name] * 1e3:13.2f} {seconds[name] / first[name]:5.1f}x" for name in running)
            lines.append(f"{factor:3}x {row.title:40}{figures}")
    return "\n".join(lines)
