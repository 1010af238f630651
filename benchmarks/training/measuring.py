"""What is measured: blocks of steps in turns, and the memory at the peak."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.interleaved import interleave
from benchmarks.training.models import Row
from benchmarks.training.systems import MINE, SYSTEMS, Memory, Process, SystemFailed

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        systems: by name; the first is the reference of the ratios.
        rounds: how often each system takes its turn.
        block: seconds that a turn should take.
        threads: of every system.
        logs: folder for what the systems write to the standard error.
    """

    systems: tuple[str, ...]
    rounds: int
    block: float
    threads: int
    logs: Path


@dataclass(frozen=True)
class Cell:
    """A row in one policy.

    Attributes:
        row: its title.
        policy: its name.
        seconds: of one step, round by round, by system.
        of_float32: our time as a ratio to our float32 step, if that was measured.
        memory: by system.
        failures: what became of systems that cannot do it.
    """

    row: str
    policy: str
    seconds: Mapping[str, tuple[float, ...]]
    of_float32: float | None
    memory: Mapping[str, Memory]
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> float:
        """Our seconds a step, the median."""
        return statistics.median(self.seconds[MINE])

    @property
    def ratios(self) -> dict[str, float]:
        """Each peer's time by ours."""
        own = self.seconds[MINE]
        return {name: ratio(found, own) for name, found in self.seconds.items() if name != MINE}


def cells(plan: Plan, rows: Sequence[Row], policies: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    """Measure row by row: every system in every policy, in turns, each in a process of its own.

    Raises:
        SystemFailed: our own cannot do it.
    """
    for row in rows:
        yield _together(plan, row, policies)


def _together(plan: Plan, row: Row, policies: Sequence[str]) -> tuple[Cell, ...]:
    running: dict[tuple[str, str], Process] = {}
    failures: dict[tuple[str, str], str] = {}
    with ExitStack() as stack:
        for policy in policies:
            for name in plan.systems:
                process = stack.enter_context(Process(SYSTEMS[name], plan.threads, plan.logs / f"{name}-{policy}.log"))
                try:
                    process.build(row.spec(policy, plan.threads))
                    running[policy, name] = process
                except SystemFailed as failed:
                    if name == MINE:
                        raise  # there is nothing to compare with
                    failures[policy, name] = str(failed)
        seconds = timed(plan, {"/".join(key): process for key, process in running.items()})
        memory = {key: process.memory() for key, process in running.items()}
    plain = seconds.get(f"float32/{MINE}")
    return tuple(
        Cell(
            row=row.title,
            policy=policy,
            seconds={name: seconds[f"{policy}/{name}"] for name in plan.systems if (policy, name) in running},
            of_float32=None if plain is None else ratio(seconds[f"{policy}/{MINE}"], plain),
            memory={name: memory[policy, name] for name in plan.systems if (policy, name) in running},
            failures={name: failures[policy, name] for name in plan.systems if (policy, name) in failures},
        )
        for policy in policies
    )


def timed(plan: Plan, running: Mapping[str, Process]) -> dict[str, tuple[float, ...]]:
    """Return the seconds a step of every round, by process."""
    steps = {name: _steps(process, plan.block) for name, process in running.items()}
    calls: dict[str, Any] = {name: partial(process.seconds, steps[name]) for name, process in running.items()}
    taken = interleave(calls, plan.rounds)
    return {one.name: tuple(seconds / steps[one.name] for seconds in one.seconds) for one in taken}


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median of the ratios round by round."""
    return statistics.median(other / own for other, own in zip(theirs, ours, strict=True))


def _steps(process: Process, block: float) -> int:
    """Return how many steps fill a block."""
    process.seconds(2)
    return max(1, round(block / (process.seconds(4) / 4)))
