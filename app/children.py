"""Child processes of the supervisor: each in a process group of its own, started again when it dies, ended as a group.

A group, because a child has children (Celery's workers): `kill -9` of the one must not leave the others behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.signals import Signals

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds before a dead child is started again: doubled with each death, until it lived for `STEADY`."""
STEADY = 10.0
GROUP_LOOK = 0.05
"""Seconds between two looks at a group whose first process is gone: nobody tells of the end of grandchildren."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """What to run: `python -m` `module` with `arguments`; its output goes to `log`."""

    name: str
    module: str
    log: Path
    environment: Mapping[str, str]
    arguments: Sequence[str] = ()
    descriptors: tuple[int, ...] = ()


@dataclass
class Child:
    """One program that shall run, and the process that runs it now."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause: float = FIRST_PAUSE
    deaths: int = field(default=0)
    """Times in a row that it died young."""

    def start(self) -> None:
        """Start the process; its descriptors are those it is given, and it dies with this process (Linux)."""
        program = self.program
        with program.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", program.module, *program.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **program.environment},
                pass_fds=program.descriptors,
                start_new_session=True,
                preexec_fn=_with_parent_on_linux(),  # noqa: PLW1509  # there is one thread here
            )
        self.started_at = time.monotonic()

    def look(self) -> int | None:
        """Reap the process if it died, and start it again when its pause is over.

        Returns:
            The exit code of a process that was found dead just now, else None.
        """
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_at:
                self.start()
            return None
        code = self.process.poll()
        if code is None:
            return None
        self.kill()
        lived = now - self.started_at
        self.deaths = 0 if lived > STEADY else self.deaths + 1
        self.pause = FIRST_PAUSE if lived > STEADY else min(self.pause * 2, LONGEST_PAUSE)
        self.start_at = now + self.pause
        self.process = None
        return code

    def ask_to_end(self) -> None:
        """Send SIGTERM to the first process of the group."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """Kill the whole group, also when its first process is gone already, and reap that one."""
        if self.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):  # macOS: of a group of nothing but zombies
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ended(self) -> bool:
        """Whether nothing of the group is left."""
        if self.process is None:
            return True
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return True
        return False


def end(children: Sequence[Child], seconds: float, signals: Signals) -> None:
    """Ask the children to end, wait for all of their groups, and kill what is left.

    Only the first process of a group is asked: it knows best in which order its own children should go.

    Args:
        children: all that shall end.
        seconds: how long they may take; a second signal to stop ends the wait at once.
        signals: wakes this up when a child ends.
    """
    for child in children:
        child.ask_to_end()
    deadline = time.monotonic() + seconds
    while not all(child.ended() for child in children):
        left = deadline - time.monotonic()
        if left <= 0 or signals.stop_within(min(left, GROUP_LOOK)):
            break
    for child in children:
        child.kill()


def _with_parent_on_linux() -> Callable[[], None] | None:
    """Return what a new process does first: ask the kernel to be ended with its parent, even by `kill -9`."""
    if sys.platform != "linux":
        return None
    # Looked up before the fork: afterwards, another thread's locks may be held for ever.
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
