"""Child processes: started again when they die, and ended with all that they started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.children import Child, Program, end
from app.signals import caught
from tests.waiting import until

STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]).pid, flush=True)
while True: signal.pause()
"""


@pytest.fixture
def program(tmp_path: Path):
    """Make a program of some source text; its module is found by the child's PYTHONPATH."""

    def make(source: str) -> Program:
        (tmp_path / "part.py").write_text(source, encoding="utf-8")
        return Program("part", "part", tmp_path / "part.log", {"PYTHONPATH": str(tmp_path), "MARK": "yes"})

    return make


def said(program: Program) -> str:
    return program.log.read_text(encoding="utf-8") if program.log.exists() else ""


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text(encoding="ascii")


def test_output_and_environment_are_the_programs(program):
    part = program("import os, sys; print(os.environ['MARK']); print('wrong', file=sys.stderr)")
    child = Child(part)
    child.start()
    assert until(lambda: child.look() is not None) is True
    assert {"yes", "wrong"} <= set(said(part).split())


def test_who_dies_young_is_started_again_ever_later(program):
    child = Child(program("raise SystemExit(3)"))
    pauses = []
    for deaths in (1, 2, 3):
        child.start()
        code = until(child.look)
        assert (code, child.deaths, child.process) == (3, deaths, None)
        pauses.append(child.pause)
    assert pauses == [0.4, 0.8, 1.6]
    child.start_at = 0.0
    assert child.look() is None
    assert child.process is not None
    child.kill()


def test_the_stubborn_are_killed_with_their_children(program):
    child = Child(program(STUBBORN))
    child.start()
    grandchild = int(until(lambda: said(child.program).removeprefix("ready").strip()))
    with caught() as signals:
        end([child], 0.3, signals)
    assert until(child.ended) is True
    assert until(lambda: is_gone(grandchild)) is True


def test_what_a_killed_process_leaves_behind_is_ended(program):
    child = Child(program(STUBBORN))
    child.start()
    grandchild = int(until(lambda: said(child.program).removeprefix("ready").strip()))
    assert child.process is not None
    child.process.kill()
    assert until(child.look) == -signal.SIGKILL
    assert until(lambda: is_gone(grandchild)) is True


def test_signals_wait_in_line_and_wake_at_once():
    with caught() as signals:
        assert signals.wait(0.0) == frozenset()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.stop_within(10.0) is True
        with subprocess.Popen([sys.executable, "-c", ""]):
            assert signals.wait(10.0) == {signal.SIGCHLD}
        assert signals.stop_within(0.0) is False
