"""The whole service as a user starts it: `python -m app.serve` in a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.client import TERMINAL, Client
from tests.waiting import PATIENCE, until
from worker.queue import CeleryQueue, QueueUnavailable
from worker.settings import embedded_url

QUICK = {"HALFSTEP_CHECKPOINT_SECONDS": "0.3", "HALFSTEP_FLUSH_SECONDS": "0.1", "HALFSTEP_REAPER_SECONDS": "0.2"}
"""Checkpoints and writes as often as a test has time for."""


def job(epochs: int, **changes: Any) -> dict[str, Any]:
    """A job on the digits whose loss scale starts too high, so that some steps are skipped."""
    dense = {"name": "hidden", "units": 32, "activation": "relu", "batch_input_shape": [None, 64]}
    head = {"name": "head", "units": 10, "activation": "linear"}
    layers = [
        {"class_name": "Dense", "config": dense},
        {"class_name": "Dropout", "config": {"name": "dropout", "rate": 0.2}},
        {"class_name": "Dense", "config": head},
        {"class_name": "Activation", "config": {"name": "softmax", "activation": "softmax", "dtype": "float32"}},
    ]
    scale = {"initial_loss_scale": 2.0**24, "increment_period": 50, "multiplier": 2.0}
    policy = {"name": "mixed_float16", "loss_scale": {"class_name": "DynamicLossScale", "config": scale}}
    return {
        "model": {"class_name": "Sequential", "config": {"name": "digits", "layers": layers}},
        "policy": {"class_name": "PolicyV1", "config": policy},
        "compile": {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        "fit": {"batch_size": 32, "epochs": epochs, "validation_split": 0.1},
        "data": {"dataset": "digits"},
        "seed": 3,
        **changes,
    }


@dataclass(frozen=True)
class Stack:
    """A running service: its supervisor, its data folder, and a client."""

    process: subprocess.Popen[str]
    data_dir: Path
    client: Client

    def worker(self) -> int:
        """The process (and group) id of the worker that takes jobs now; 0 if there is none."""
        try:
            alive = [int(worker["pid"]) for worker in CeleryQueue(embedded_url(self.data_dir)).workers()]
        except QueueUnavailable:
            return 0
        return next((pid for pid in alive if pid in processes(self.data_dir)), 0)

    def step(self, job_id: str) -> int:
        """How many steps of the job are trained and written down."""
        return int(self.client.get(job_id)["progress"]["step"])

    def ended(self, job_id: str) -> dict[str, Any]:
        """Wait for the job's end, and return it."""
        until(lambda: self.client.get(job_id)["status"] in TERMINAL, what=job_id)
        return self.client.get(job_id)

    def model(self, job_id: str) -> str:
        """The sha256 of the job's model file."""
        (digest,) = (file["sha256"] for file in self.client.artifacts(job_id) if file["name"] == "model.safetensors")
        return str(digest)


def command(data_dir: Path, *arguments: str) -> list[str]:
    """How to start the service, on a free port unless the arguments name one."""
    return [sys.executable, "-m", "app.serve", "--data-dir", str(data_dir), "--port", "0", *arguments]


@contextmanager
def running(data_dir: Path, *arguments: str, **environment: str) -> Iterator[Stack]:
    """Serve until the block ends, then stop as a user does; whoever is left is killed."""
    whole = {**os.environ, **QUICK, **environment}
    with subprocess.Popen(command(data_dir, *arguments), stdout=subprocess.PIPE, text=True, env=whole) as process:
        try:
            assert process.stdout is not None
            ready = next(filter(None, (re.search(r"ready at (\S+)", line) for line in process.stdout)), None)
            assert ready is not None, log(data_dir)
            with Client(ready[1]) as client:
                yield Stack(process, data_dir, client)
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)
            for pid in processes(data_dir):
                os.kill(pid, signal.SIGKILL)


def processes(data_dir: Path) -> set[int]:
    """Every living process that was started for this folder, however deep below the supervisor."""
    folder = str(data_dir.resolve()).encode()
    # Valkey writes its title over its environment.
    marks = (b"HALFSTEP_DATA_DIR=" + folder + b"\0", b"unixsocket:" + folder + b"/")
    found = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {int(entry.name) for entry in found if any(mark in _started_with(entry) for mark in marks)}


def _started_with(process: Path) -> bytes:
    """Command and environment of a process; nothing of one that is gone, a zombie, or somebody else's."""
    try:
        return (process / "environ").read_bytes() + b"\0" + (process / "cmdline").read_bytes()
    except OSError:
        return b""


def log(data_dir: Path) -> str:
    """The ends of all logs, for the message of a test that failed."""
    logs = sorted((data_dir / "logs").glob("*.log"))
    return "\n".join(f"{path.name}: {path.read_text(encoding='utf-8')[-2000:]}" for path in logs)
