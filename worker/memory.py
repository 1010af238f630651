"""How much memory this process may take: so that a job which needs too much fails by itself, and the machine stays up.

The bound is on address space (RLIMIT_AS): what goes beyond it is a MemoryError in the one process. Systems that do not
say how large a process is (macOS) bound nothing.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

SHARE = 0.8
"""Of the machine's memory, for all jobs that it trains at once."""
_STATUS = Path("/proc/self/statm")
_GROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def usable() -> int:
    """Return how many bytes the jobs of this machine, or of this container, may take together."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found = [path.read_text().strip() for path in _GROUPS if path.is_file()]
    return int(min([pages, *(int(text) for text in found if text.isdecimal())]) * SHARE)


def lift() -> int:
    """Take the bound away; return the bytes of address space that the process has now, 0 where that is not known."""
    resource.setrlimit(resource.RLIMIT_AS, (_hard(), _hard()))
    if not _STATUS.is_file():
        return 0
    return int(_STATUS.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def bind(base: int, more: int) -> None:
    """Let the process have so many bytes more than it had.

    Args:
        base: what `lift` returned.
        more: bytes.
    """
    if not base:
        return
    hard, most = _hard(), base + more
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _hard() -> int:
    return resource.getrlimit(resource.RLIMIT_AS)[1]
