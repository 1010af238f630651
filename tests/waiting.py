"""The one way in which tests wait for something that happens elsewhere."""

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 300.0
"""How long a test waits for something before it fails: a net under the test, never a statement about speed."""

_PAUSE_SECONDS = 0.02


def until(predicate: Callable[[], T], timeout: float = PATIENCE, what: str = "") -> T:
    """Ask `predicate` again and again until its answer is true, and return that answer.

    Args:
        predicate: cheap question without side effects, asked about fifty times a second.
        timeout: seconds to wait at most.
        what: what is waited for, for the message.

    Raises:
        AssertionError: when `timeout` seconds have gone by; names the last answer.
    """
    deadline = time.monotonic() + timeout
    pause = Event()
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout} s for {what or repr(predicate)}; the last answer was {answer!r}")
        pause.wait(_PAUSE_SECONDS)
