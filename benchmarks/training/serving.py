"""The child's side of the pipe: one system in one process, which trains as many steps as it is told to.

A line of JSON comes in, a line of JSON goes out: ``{"build": spec}`` answers the seconds that the first two steps took
(compilation included), ``{"run": steps}`` the seconds of a timed block, ``{"memory": true}`` the bytes at the peak and
before the model was built. Standard library only: it also runs in the peers' environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Spec = dict[str, Any]
Run = Callable[[int], object]
"""Trains so many steps, and comes back when the last one is really done."""


def serve(build: Callable[[Spec], Run]) -> None:
    """Answer until the other side closes the pipe. What libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    before = memory()
    run: Run | None = None
    for line in sys.stdin:
        (command, value) = next(iter(json.loads(line).items()))
        if command == "build":
            run = None  # frees the last model first
            before = memory()
            _forget_peak()
            run = build(value)
            answer: dict[str, float] = {"seconds": _timed(run, 2)}
        elif command == "run":
            assert run is not None, "build comes first"
            answer = {"seconds": _timed(run, value)}
        else:
            answer = {"peak": memory("VmHWM"), "before": before}
        answers.write(json.dumps(answer) + "\n")


def memory(field: str = "VmRSS") -> int:
    """Return bytes of this process as the Linux kernel counts them, 0 elsewhere: now, or at the peak ("VmHWM")."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    found = [line.split()[1] for line in status.read_text("utf-8").splitlines() if line.startswith(f"{field}:")]
    return int(found[0]) * 1024 if found else 0


def _forget_peak() -> None:
    """Let the peak begin anew, so that it is the training's and not that of importing; see proc(5), clear_refs."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5", "utf-8")


def _timed(run: Run, steps: int) -> float:
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start
