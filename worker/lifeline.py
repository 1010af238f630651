"""Processes and their lives: who holds a lease, whether it is dead, and how a child ends with its parent."""

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_ELSEWHERE = "-"


def this_process() -> str:
    """A name of this very process that no other process, past or on another host, has.

    `host/namespace/pid/start`: the namespace tells containers of one host apart and changes with each boot, and the
    start time tells a process from an earlier one with its number. Where the system does not say, it is `-`.
    """
    return "/".join((socket.gethostname(), _namespace(), str(os.getpid()), _started(os.getpid())))


def is_dead(owner: str) -> bool:
    """Whether the process `owner` names is known to be gone; False whenever we cannot know."""
    host, _, rest = owner.partition("/")
    namespace, _, rest = rest.partition("/")
    pid, _, started = rest.partition("/")
    here = (socket.gethostname(), _namespace())
    if _ELSEWHERE in (namespace, started) or (host, namespace) != here or not pid.isdigit():
        return False
    return _started(int(pid)) != started


def _namespace() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return _ELSEWHERE


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; `-` if there is no such process, or it is a zombie."""
    try:
        # The command's name, in parentheses, may hold spaces; what follows does not.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return _ELSEWHERE
    return _ELSEWHERE if fields[0] in {"Z", "X"} else fields[19]


def end_with_parent(parent: int) -> None:
    """Ask the system to send SIGTERM to this process when its parent ends; does nothing where Linux is not.

    Args:
        parent: the parent's pid, as the parent knows it: it may have ended already.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
