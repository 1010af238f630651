"""A library in a process of its own, which is asked for models one by one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.contracts.sources import ROOT

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": ""}
"""oneDNN's kernels round otherwise than those of TensorFlow itself."""


class Peer:
    """The process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **question: Any) -> Any:
        """Return what the library makes of a seed, or of a plan."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The library's process ended while it was asked for {str(question)[:200]}")
        return json.loads(line)


@contextmanager
def peer(python: str, library: str) -> Iterator[Peer]:
    """Run a library under its interpreter for as long as the block lasts."""
    command = [python, "-m", "tests.campaigns.recording", library]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **QUIET},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Peer(process)
        finally:
            process.kill()
