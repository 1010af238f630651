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
    pid, started = _here(owner)
    return pid > 0 and _started(pid) != started


def end_frozen(owner: str) -> bool:
    """Kill the process that `owner` names if it is one of this host and is stopped (SIGSTOP); whether it was.

    Whoever runs takes SIGTERM, and a debugger's hold (`t`) is somebody's wish: both are left alone.
    """
    pid, started = _here(owner)
    if pid == 0:
        return False
    try:
        # Held by descriptor: the number may go to another process at any moment, the descriptor does not.
        process = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if (_state(pid), _started(pid)) != ("T", started):
            return False
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(process)
    return True


def _here(owner: str) -> tuple[int, str]:
    """Pid and start of an owner on this host, in this namespace; 0 if it is elsewhere or nobody can tell."""
    host, _, rest = owner.partition("/")
    namespace, _, rest = rest.partition("/")
    pid, _, started = rest.partition("/")
    here = (socket.gethostname(), _namespace())
    if _ELSEWHERE in (namespace, started) or (host, namespace) != here or not pid.isdigit():
        return 0, started
    return int(pid), started


def _namespace() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return _ELSEWHERE


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; `-` if there is no such process, or it is a zombie."""
    fields = _fields(pid)
    return _ELSEWHERE if not fields or fields[0] in {"Z", "X"} else fields[19]


def _state(pid: int) -> str:
    """What the system says a process does: R, S, D, T (stopped) ...; `-` if there is none."""
    return (_fields(pid) or [_ELSEWHERE])[0]


def _fields(pid: int) -> list[str]:
    """What the system tells of a process, from its state on; nothing if there is none."""
    try:
        # The command's name, in parentheses, may hold spaces; what follows does not.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


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
