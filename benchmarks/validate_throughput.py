"""Requests a second of ``/v1/policies/validate``, as a ratio to a bare FastAPI route with as large a body and answer.

``python -m benchmarks.validate_throughput [--rounds 100] [--requests 100] [--connections 8]``. Both are served by one
uvicorn worker each, and asked in turns over connections that are kept alive; the client is sockets and ready-made
bytes, so that the server is what takes the time. On a machine that others use, the processor time beside it (Linux
only) is the steadier figure: what a request costs, whoever else runs.
"""

import argparse
import json
import math
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np

from benchmarks.interleaved import interleave, table

START_SECONDS = 60.0
WANTED = 0.7
"""What the ratio should be at least."""
POLICY = {
    "class_name": "PolicyV1",
    "config": {
        "name": "mixed_float16",
        "loss_scale": {
            "class_name": "DynamicLossScale",
            "config": {"initial_loss_scale": 32768.0, "increment_period": 2000, "multiplier": 2.0},
        },
    },
}
PATH = "/v1/policies/validate"
BODY = json.dumps({"policy": POLICY, "dialect": "tf2.4"}).encode()


@dataclass
class Load:
    """Connections to one server that are kept alive, each with one request under way.

    Attributes:
        name: of the server, for the tables.
        request: bytes to send.
        sockets: the connections.
        size: bytes of an answer; all are of one size.
        server: its process id.
        latencies: seconds of every request so far.
    """

    name: str
    request: bytes
    sockets: list[socket.socket]
    size: int
    server: int
    latencies: list[float] = field(default_factory=list)

    def run(self, requests: int) -> None:
        """Send so many requests, a new one as soon as an answer is there."""
        with selectors.DefaultSelector() as selector:
            for connection in self.sockets:
                selector.register(connection, selectors.EVENT_READ)
            left = requests - len(self.sockets)
            sent, got = dict.fromkeys(self.sockets, 0.0), dict.fromkeys(self.sockets, 0)
            for connection in self.sockets:
                sent[connection] = _send(connection, self.request)
            waiting = len(self.sockets)
            while waiting:
                for key, _ in selector.select(10):
                    ready: socket.socket = key.fileobj  # type: ignore[assignment]
                    got[ready] += len(ready.recv(65536))
                    if got[ready] < self.size:
                        continue
                    self.latencies.append(time.perf_counter() - sent[ready])
                    got[ready] = 0
                    if left > 0:
                        left -= 1
                        sent[ready] = _send(ready, self.request)
                    else:
                        waiting -= 1

    def processor_seconds(self) -> float:
        """Return what the server has computed so far, nan where the system does not tell."""
        stat = Path(f"/proc/{self.server}/stat")
        if not stat.exists():
            return math.nan
        fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def percentile(self, share: float) -> float:
        """Return a percentile of the latencies, in milliseconds."""
        return float(np.percentile(self.latencies, share)) * 1e3


def _send(connection: socket.socket, request: bytes) -> float:
    connection.sendall(request)
    return time.perf_counter()


@contextmanager
def loading(name: str, server: int, port: int, path: str, connections: int) -> Iterator[Load]:
    """Connect to a server; show what it answers."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
        sockets[0].sendall(request)
        answer = _answer(sockets[0])
        head, _, body = answer.partition(b"\r\n\r\n")  # type: ignore[assignment]
        print(f"{name}: body {len(BODY)} bytes, answer {len(body)} bytes, {len(answer) - len(body)} of headers")
        if b" 200 " not in answer[:20]:
            raise RuntimeError(f"{name} answered {answer!r}")
        yield Load(name, request, sockets, len(answer), server)


def _answer(connection: socket.socket) -> bytes:
    """Return a whole answer, told by its Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line.partition(b":") for line in head.lower().split(b"\r\n")]
    length = next(int(value) for key, _, value in lines if key == b"content-length")
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def _server(port: int, *arguments: str, **environment: str) -> Iterator[int]:
    """Start a server; give its process id."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, env={**os.environ, **environment}) as process:
        try:
            _wait_for(port)
            yield process.pid
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline, pause = time.monotonic() + START_SECONDS, Event()
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            pause.wait(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Print throughput and latencies; exit with 1 if the ratio is below what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=100, help="turns of each server")
    parser.add_argument("--requests", type=int, default=100, help="requests of a turn")
    parser.add_argument("--connections", type=int, default=8, help="requests under way at a time")
    options = parser.parse_args()
    bare_port, our_port = _free_port(), _free_port()
    with (
        tempfile.TemporaryDirectory(prefix="halfstep-bench-") as folder,
        _server(bare_port, "benchmarks.bare_fastapi", str(bare_port)) as bare_id,
        _server(our_port, "app.main", HALFSTEP_PORT=str(our_port), HALFSTEP_DATA_DIR=folder) as our_id,
        loading("bare FastAPI", bare_id, bare_port, "/validate", options.connections) as bare,
        loading(PATH, our_id, our_port, PATH, options.connections) as ours,
    ):
        loads = (bare, ours)
        before = [load.processor_seconds() for load in loads]
        timings = interleave(
            {load.name: lambda load=load: load.run(options.requests) for load in loads},  # type: ignore[misc]
            options.rounds,
            warmups=2,
        )
        costs = [load.processor_seconds() - start for load, start in zip(loads, before, strict=True)]
    print(table(timings))
    for load, timing, cost in zip(loads, timings, costs, strict=True):
        rate, each = options.requests / timing.median, cost / len(load.latencies) * 1e6
        latency = f"p50 {load.percentile(50):.2f} ms, p99 {load.percentile(99):.2f} ms"
        print(f"{load.name:22} {rate:8.0f} a second, {latency}, {each:.0f} us of processor a request")
    ratio = 1 / timings[1].ratio
    print(f"throughput as a ratio to bare FastAPI: {ratio:.2f} (wanted: at least {WANTED})")
    print(f"the same by processor time: {costs[0] / costs[1]:.2f}")
    return int(ratio < WANTED)


if __name__ == "__main__":
    sys.exit(main())
