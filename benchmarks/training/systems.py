"""The systems that are compared, each a process that is told over a pipe what to do, so that they can take turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
MINE = "halfstep"


class SystemFailed(Exception):
    """A system ended instead of answering; the text is the last line it wrote to the standard error."""


@dataclass(frozen=True)
class System:
    """How a system is started.

    Attributes:
        python: the interpreter of its environment.
        module: what runs; the number of threads is its first argument.
        options: further arguments.
    """

    python: Path
    module: str
    options: tuple[str, ...] = ()

    def command(self, threads: int) -> list[str]:
        """Return what to run."""
        return [str(self.python), "-m", self.module, str(threads), *self.options]


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        MINE: System(Path(sys.executable), "benchmarks.training.with_halfstep"),
        "keras": System(PEERS, "benchmarks.training.with_keras"),
        "keras-graph": System(PEERS, "benchmarks.training.with_keras", ("--graph",)),
        "torch": System(PEERS, "benchmarks.training.with_torch"),
    }
)


@dataclass(frozen=True)
class Memory:
    """Bytes of a process: at the peak of training, and before the model was built."""

    peak: int
    before: int


class Process:
    """One running system. A context manager, which ends it."""

    def __init__(self, system: System, threads: int, log: Path) -> None:
        self._log = log
        with log.open("w", encoding="utf-8") as errors:
            self._child = subprocess.Popen(
                system.command(threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env=environment(threads),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.communicate()  # closing its input ends it

    def build(self, spec: Mapping[str, Any]) -> None:
        """Make a model, forgetting the last one, and train two steps."""
        self._ask({"build": spec})

    def seconds(self, steps: int) -> float:
        """Return what a block of steps takes."""
        return self._ask({"run": steps})["seconds"]

    def memory(self) -> Memory:
        """Return what training took at its peak."""
        answer = self._ask({"memory": True})
        return Memory(int(answer["peak"]), int(answer["before"]))

    def _ask(self, command: Mapping[str, Any]) -> dict[str, float]:
        given, answers = self._child.stdin, self._child.stdout
        assert given is not None
        assert answers is not None
        try:
            given.write(json.dumps(command) + "\n")
            given.flush()
            answer: dict[str, float] = json.loads(answers.readline() or "null")
        except BrokenPipeError:
            answer = {}
        if not answer:
            lines = self._log.read_text("utf-8", errors="replace").strip().splitlines()
            raise SystemFailed(lines[-1] if lines else "it ended without a word")
        return answer


def environment(threads: int) -> dict[str, str]:
    """Return this process's variables, with as many threads for every library that could use more."""
    limits = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
    return {**os.environ, **dict.fromkeys(limits, str(threads)), **quiet}
