"""The event log of jobs, followed by many: one look at the log per job and tick, however many listen.

The log in the database is the truth and the ids are its own, so a listener that was away asks for what came after the
last id it saw. What is kept here is only the newest events of jobs that somebody follows just now.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from worker.jobs.records import Event


class Log(Protocol):
    """Where events are kept: `worker.jobs.store.JobStore`."""

    def events(self, job_id: str, *, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return up to `limit` events with ids above `after`, oldest first."""
        ...


BATCH = 500
SHORTEST_PAUSE = 0.02
"""Seconds between two looks at a log right after news: what begins goes on soon. Doubled while nothing comes."""
KEPT = 2000


@dataclass
class _Tail:
    """The newest events of one job, and whoever waits for the next."""

    newest: int
    task: asyncio.Task[None] = field(init=False)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT))
    listeners: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, events: Sequence[Event]) -> None:
        self.events.extend(events)
        self.newest = events[-1].id
        self.wake()

    def wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    def after(self, last_id: int) -> list[Event] | None:
        """Return the events after `last_id`, or None if they are no longer all kept here."""
        if last_id >= self.newest:
            return []
        if not self.events or self.events[0].id > last_id + 1:
            return None
        return [event for event in self.events if event.id > last_id]


class Feed:
    """Follows job logs; belongs to one event loop, between `open` and `close`."""

    def __init__(self, log: Log, poll_seconds: float) -> None:
        self._log = log
        self._poll_seconds = poll_seconds
        self._tails: dict[str, _Tail] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False

    @property
    def followed(self) -> int:
        """How many jobs somebody follows just now."""
        return len(self._tails)

    def open(self) -> None:
        """Bind to the running loop."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """End every stream; may be called from a signal handler, and more than once."""
        if self.closed:
            return
        self.closed = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        for tail in self._tails.values():
            tail.wake()

    async def follow(self, job_id: str, last_id: int, patience: float) -> AsyncGenerator[Sequence[Event]]:
        """Yield the events of a job after `last_id`, in order and each once, in batches.

        An empty batch says that nothing came for `patience` seconds. Ends when the feed is closed; when the job has
        ended is the caller's to see, from the events. When the store fails, its error ends the stream; the listener
        comes back with the last id it saw.
        """
        tail = self._join(job_id, last_id)
        try:
            while not self.closed:
                news = tail.news
                batch = tail.after(last_id)
                if batch is None:
                    batch = list(await self._read(job_id, last_id))
                if batch:
                    last_id = batch[-1].id
                    yield batch
                elif tail.task.done():
                    tail.task.result()
                elif not await _within(news, patience):
                    yield ()
        finally:
            self._leave(job_id, tail)

    async def _read(self, job_id: str, last_id: int) -> Sequence[Event]:
        return await run_in_threadpool(self._log.events, job_id, after=last_id, limit=BATCH)

    def _join(self, job_id: str, last_id: int) -> _Tail:
        tail = self._tails.get(job_id)
        if tail is None:
            tail = self._tails[job_id] = _Tail(newest=last_id)
            tail.task = asyncio.create_task(self._watch(job_id, tail))
        tail.listeners += 1
        return tail

    def _leave(self, job_id: str, tail: _Tail) -> None:
        tail.listeners -= 1
        if tail.listeners == 0:
            del self._tails[job_id]
            tail.task.cancel()

    async def _watch(self, job_id: str, tail: _Tail) -> None:
        pause = SHORTEST_PAUSE
        try:
            while True:
                events = await self._read(job_id, tail.newest)
                if events:
                    tail.add(events)
                    pause = SHORTEST_PAUSE
                if len(events) < BATCH:
                    await asyncio.sleep(min(pause, self._poll_seconds))
                    pause *= 2
        finally:
            # The store failed, or nobody listens any more: whoever waits shall look up and see.
            tail.wake()


async def _within(news: asyncio.Event, seconds: float) -> bool:
    """Wait for news; False if there was none in time."""
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return False
    return True
