"""Processes for what computes long: its Python code holds up no request, and its memory and time are bounded.

A thread hands its call to a process and waits for the answer, without the interpreter's lock. `app.check_process` is
what runs there. (`concurrent.futures.ProcessPoolExecutor` breaks as a whole when one process dies, and can end no call;
`anyio.to_process` bounds no memory, and starts its processes for each event loop.)
"""

from __future__ import annotations

import math
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import Empty, LifoQueue
from typing import Any, TypeVar, TypeVarTuple, cast

from app.check_services import CheckServices, CheckSettings

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")

Request = tuple[CheckSettings, str, Callable[..., Any], tuple[Any, ...], float]
"""Settings and tenant of the services that a call gets, the call, its arguments, and the seconds it may take."""

END_SECONDS = 5.0
"""How long a process may take to end once nobody asks it any more."""
_PROGRAM = "app.check_process"


class TooCostly(Exception):
    """A call took more time or memory than it may.

    Args:
        seconds: a call may take.
        memory_bytes: a process may have.
    """

    def __init__(self, seconds: float, memory_bytes: int) -> None:
        super().__init__(seconds, memory_bytes)
        self.seconds, self.memory_bytes = seconds, memory_bytes


class CallFailed(Exception):
    """A call ended its process with an error that nobody expected; standard error has its traceback."""


class _Gone(Exception):
    """The process was ended by a signal before it answered."""


class _Process:
    """One process, asked by one thread at a time.

    Args:
        memory_bytes: of addresses that it may have.
    """

    def __init__(self, memory_bytes: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", _PROGRAM, str(theirs.fileno()), str(memory_bytes)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=_environment(os.environ), pass_fds=(theirs.fileno(),)
            )
        self._socket, self._connection = ours, Connection(os.dup(ours.fileno()))

    def ask(self, request: Request, seconds: float) -> tuple[bool, Any]:
        """Return whether the call returned, and what it returned or raised.

        Raises:
            TimeoutError: it did neither in time.
            _Gone: the process was ended.
            CallFailed: the process failed.
        """
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # it may be frozen in the middle of a message
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", math.ceil(seconds), 0))
        try:
            self._connection.send(request)
            if not self._connection.poll(seconds):
                raise TimeoutError
            return cast(tuple[bool, Any], self._connection.recv())
        except BlockingIOError as error:
            raise TimeoutError from error
        except (EOFError, ConnectionError) as error:
            raise (CallFailed if self._process.wait(END_SECONDS) > 0 else _Gone) from error

    def end(self) -> None:
        """Let it end by itself, as it does when its connection is closed."""
        self._close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._close()
        self._process.kill()
        self._process.wait()

    def _close(self) -> None:
        self._connection.close()
        self._socket.close()


class ProcessPool:
    """Processes that are started when they are needed and kept.

    Args:
        seconds: a call may take.
        memory_bytes: of addresses that a process may have (RLIMIT_AS).
    """

    def __init__(self, seconds: float, memory_bytes: int) -> None:
        self.seconds, self._memory_bytes = seconds, memory_bytes
        self._idle: LifoQueue[_Process] = LifoQueue()

    def start(self) -> None:
        """Start a process, so that the first call need not wait for it."""
        self._idle.put(_Process(self._memory_bytes))

    def end(self) -> None:
        """End the processes; no call is under way."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().end()

    def run(
        self, settings: CheckSettings, tenant: str, call: Callable[[CheckServices, *Arguments], T], *args: *Arguments
    ) -> T:
        """Return what a call returns, made in a process; waits.

        Args:
            settings: of the services that the call gets.
            tenant: whose services they are.
            call: a function of a module.
            args: for it; a copy of them is sent to the process.

        Raises:
            TooCostly: the call took too much.
            CallFailed: it has a fault.
            Exception: what the call raised.
        """
        returned, answer = self._answer((settings, tenant, call, args, self.seconds + END_SECONDS))
        if returned:
            return cast(T, answer)
        kind, arguments, members = answer
        error: Exception = kind.__new__(kind, *arguments)  # its __init__ takes other arguments than it keeps
        vars(error).update(members)
        raise TooCostly(self.seconds, self._memory_bytes) if isinstance(error, MemoryError) else error

    def _answer(self, request: Request) -> tuple[bool, Any]:
        """Ask an idle process, and a new one if that was ended by somebody while it was idle."""
        try:
            try:
                process = self._idle.get_nowait()
            except Empty:
                return self._asked(_Process(self._memory_bytes), request)
            try:
                return self._asked(process, request)
            except _Gone:
                return self._asked(_Process(self._memory_bytes), request)
        except (TimeoutError, _Gone) as error:
            raise TooCostly(self.seconds, self._memory_bytes) from error

    def _asked(self, process: _Process, request: Request) -> tuple[bool, Any]:
        kept = False
        try:
            answer = process.ask(request, self.seconds)
            kept = answer[0] or answer[1][0] is not MemoryError
        finally:
            if kept:
                self._idle.put(process)
            else:
                process.kill()
        return answer


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """One thread of linear algebra: each would reserve memory of its own."""
    return {**ours, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
