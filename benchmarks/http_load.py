"""A client that costs little: kept-alive connections and ready-made bytes, so that the server takes the time."""

import math
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np

START_SECONDS = 60.0
_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Asked:
    """A request, with the status that its answer must have."""

    method: str
    path: str
    status: int = 200
    body: bytes = b""

    @property
    def sent(self) -> bytes:
        """The bytes of it."""
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: localhost\r\n"
        if self.body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        return head.encode() + b"\r\n" + self.body


@dataclass
class Load:
    """Connections to one server that are kept alive during a turn, each with one request under way.

    Attributes:
        name: of the load, for the tables.
        asked: what is sent, again and again.
        port: where the server listens.
        connections: how many.
        requests: of one turn.
        server: its process id.
        latencies: seconds of every request so far.
        turns: seconds of every turn so far, connecting not counted.
        processor: seconds that the server computed in all turns, nan where the system does not show it.
    """

    name: str
    asked: Asked
    port: int
    connections: int
    requests: int
    server: int
    latencies: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    processor: float = 0.0

    def turn(self) -> None:
        """Connect, and send so many requests, a new one as soon as an answer is there."""
        with ExitStack() as stack:
            address = ("127.0.0.1", self.port)
            sockets = [stack.enter_context(socket.create_connection(address)) for _ in range(self.connections)]
            for connection in sockets:  # the first request of a connection is another matter than the ones after it
                self._check(answered(connection, self.asked))
            begun, computed = time.perf_counter(), _processor_seconds(self.server)
            self._send_all(sockets)
            self.turns.append(time.perf_counter() - begun)
            self.processor += _processor_seconds(self.server) - computed

    def _send_all(self, sockets: list[socket.socket]) -> None:
        request, left = self.asked.sent, self.requests - len(sockets)
        got = dict.fromkeys(sockets, b"")
        with selectors.DefaultSelector() as selector:
            for connection in sockets:
                selector.register(connection, selectors.EVENT_READ)
            sent = {connection: _send(connection, request) for connection in sockets}
            waiting = len(sockets)
            while waiting:
                for key, _ in selector.select():
                    ready: socket.socket = key.fileobj  # type: ignore[assignment]
                    got[ready] += _received(ready)
                    if not _whole(got[ready]):
                        continue
                    self._check(got[ready])
                    self.latencies.append(time.perf_counter() - sent[ready])
                    got[ready] = b""
                    if left > 0:
                        left -= 1
                        sent[ready] = _send(ready, request)
                    else:
                        waiting -= 1

    def _check(self, answer: bytes) -> None:
        if not answer.startswith(f"HTTP/1.1 {self.asked.status} ".encode()):
            raise RuntimeError(f"{self.name} answered {answer[:500]!r}")

    @property
    def rate(self) -> float:
        """Requests a second in the median turn."""
        return self.requests / statistics.median(self.turns)

    def percentile(self, share: float) -> float:
        """Return a percentile of the latencies, in milliseconds."""
        return float(np.percentile(self.latencies, share)) * 1e3


def _send(connection: socket.socket, request: bytes) -> float:
    connection.sendall(request)
    return time.perf_counter()


def _whole(data: bytes) -> bool:
    """Whether an answer is all there, by its Content-Length."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    lines = (line for line in head.lower().split(b"\r\n") if line.startswith(_LENGTH))
    return len(body) >= int(next(lines)[len(_LENGTH) :])


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("The server closed a connection on which an answer was due.")
    return data


def _processor_seconds(server: int) -> float:
    stat = Path(f"/proc/{server}/stat")
    if not stat.exists():
        return math.nan
    fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answered(connection: socket.socket, asked: Asked) -> bytes:
    """Send one request, and return the whole answer."""
    connection.sendall(asked.sent)
    data = b""
    while not _whole(data):
        data += _received(connection)
    return data


@contextmanager
def served(port: int, *arguments: str, **environment: str) -> Iterator[int]:
    """Start a server, and wait until it takes connections; give its process id."""
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


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
