"""How many bytes of files may be held in memory at the same time, by whoever checks jobs on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from app.errors import Refused
from app.problems import Problem

_BUSY = Problem(
    503, "checks_busy", "Jobs on other large files are being checked; try again.", headers={"Retry-After": "5"}
)


class Room:
    """Bytes for files: a check takes as many as its file has, and waits until they are free.

    Args:
        size: bytes in all; a larger file is held by itself.
        patience: seconds that a check waits, in a thread of its own.
    """

    def __init__(self, size: int, patience: float) -> None:
        self._size = size
        self._patience = patience
        self._changed = Condition()
        self._taken = 0

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take so many bytes for as long as the block lasts.

        Raises:
            Refused: 503, if they were not free in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._fits(size), self._patience):
                raise Refused(_BUSY)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= self._size
