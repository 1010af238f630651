"""Who is dead, as far as this process can know."""

import os
import signal
import subprocess
import sys

import pytest

from tests.waiting import until
from worker.lifeline import end_frozen, is_dead, this_process

SAY_NAME = "from worker.lifeline import this_process as t; print(t(), flush=True); input()"


def other() -> tuple[subprocess.Popen, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SAY_NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_process_is_alive_until_it_ends():
    process, name = other()
    with process:
        assert not is_dead(name)
        process.kill()
        until(lambda: is_dead(name), what="the process to be known as dead")
    assert is_dead(name)


def test_this_process_lives():
    assert not is_dead(this_process())


def test_another_process_of_the_same_number_is_not_the_one():
    host, namespace, pid, started = this_process().split("/")
    assert is_dead("/".join((host, namespace, pid, str(int(started) - 1))))


@pytest.mark.parametrize("owner", ["", "me", "elsewhere/ns/1/1", "a/b", "-/-/-/-"])
def test_of_a_stranger_nothing_is_known(owner: str):
    assert not is_dead(owner)


def test_of_a_process_on_another_host_nothing_is_known():
    _, namespace, pid, _ = this_process().split("/")
    assert not is_dead(f"another-host/{namespace}/{pid}/1")


def test_only_a_stopped_process_is_ended():
    process, name = other()
    with process:
        assert not end_frozen(name)
        process.send_signal(signal.SIGSTOP)
        host, namespace, pid, started = name.split("/")
        until(lambda: end_frozen(name), what="the process to be stopped")
        assert not end_frozen("/".join((host, namespace, pid, str(int(started) - 1))))
        assert process.wait(10) == -signal.SIGKILL
    assert not end_frozen(name)


@pytest.mark.parametrize("owner", ["", "me", "elsewhere/ns/1/1", "-/-/-/-"])
def test_a_stranger_is_never_ended(owner: str):
    assert not end_frozen(owner)


PARENT = """
import subprocess, sys
child = [sys.executable, "-c", {child!r}]
print(subprocess.Popen(child, stdout=subprocess.PIPE, text=True).stdout.readline().strip(), flush=True)
input()
"""
CHILD = """
import os, threading
from worker.lifeline import end_with_parent, this_process
end_with_parent(os.getppid())
print(this_process(), flush=True)
threading.Event().wait(60)
"""


def test_a_child_ends_with_its_parent():
    program = [sys.executable, "-c", PARENT.format(child=CHILD)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = parent.stdout.readline().strip()
        assert not is_dead(child)
        parent.send_signal(signal.SIGKILL)
        until(lambda: is_dead(child), what="the child to end")
    assert parent.returncode == -signal.SIGKILL


def test_a_child_whose_parent_is_gone_already_ends_at_once():
    program = "import os; from worker.lifeline import end_with_parent; end_with_parent(os.getppid() + 1)"
    done = subprocess.run([sys.executable, "-c", program], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGTERM
