"""Waiting for a signal or a while, whichever comes first, without polling and without races."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """Signals that came in; made by `caught`, in the main thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def wait(self, seconds: float) -> frozenset[int]:
        """Return the signals that came since the last wait, at once if there are some, or none after `seconds`."""
        ready, _, _ = select.select([self._descriptor], [], [], max(seconds, 0.0))
        return frozenset(os.read(self._descriptor, 1024)) if ready else frozenset()

    def stop_within(self, seconds: float) -> bool:
        """Wait, and tell whether one of the signals that came asks to stop."""
        return not self.wait(seconds).isdisjoint(STOPS)


@contextmanager
def caught() -> Iterator[Signals]:
    """Catch the signals that ask to stop, and that of a child's end, for as long as the block lasts."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, _heard) for number in (*STOPS, signal.SIGCHLD)}
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield Signals(reader)
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _heard(_number: int, _frame: object) -> None:
    """Python writes the number into the pipe; the handler is there only so that the default does not act."""
