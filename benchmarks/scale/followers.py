"""Hundreds of listeners to one job's event stream, each cut off in the middle once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import httpx

from benchmarks.queue_latency import JOB
from benchmarks.scale.stage import Stage, stage
from worker.jobs.records import Claim, Flush, NewEvent

STREAM = "/v1/training/jobs/{}/events"
LONGEST = httpx.Timeout(60.0, pool=None)


@dataclass
class Follower:
    """One listener, and what it heard."""

    cut_after: int
    heard: list[int] = field(default_factory=list)
    cut: bool = False

    async def follow(self, http: httpx.AsyncClient, job_id: str) -> None:
        """Listen to the end; once hang up in the middle and come back with the last id."""
        while not await self._listen(http, job_id):
            pass

    async def _listen(self, http: httpx.AsyncClient, job_id: str) -> bool:
        last = {"Last-Event-ID": str(self.heard[-1])} if self.heard else {}
        headers = {"Accept": "text/event-stream", **last}
        kind = ""
        async with http.stream("GET", STREAM.format(job_id), headers=headers) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    self.heard.append(int(value))
                elif name == "event":
                    kind = value
                elif not line and kind in {"job.succeeded", "job.failed", "job.cancelled"}:
                    return True
                elif not line and not self.cut and len(self.heard) == self.cut_after:
                    self.cut = True
                    return False
        return False


def measure(followers: int, events: int) -> bool:
    """Print what was heard; return whether everybody heard everything once and in order."""
    with stage() as on:
        return asyncio.run(_measured(on, followers, events))


async def _measured(on: Stage, followers: int, events: int) -> bool:
    job = on.store.create(JOB, total_steps=1, epochs=1)
    claim = on.store.claim(job.id, "benchmark", 3600)
    if claim is None:
        raise RuntimeError("somebody else took the job")
    before, begun = on.resident("app.main"), time.perf_counter()
    listeners = [Follower(cut_after=5 + index * (events - 10) // followers) for index in range(followers)]
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=on.address, timeout=LONGEST, limits=limits) as http,
        asyncio.TaskGroup() as all_,
    ):
        for listener in listeners:
            all_.create_task(listener.follow(http, job.id))
        await asyncio.to_thread(_tell, on, claim, events)
    took = time.perf_counter() - begun
    wanted = [event.id for event in on.store.events(job.id, limit=100_000)]
    right = sum(listener.heard == wanted for listener in listeners)
    grew = (on.resident("app.main") - before) / 1e6
    print(f"{followers} followers of {len(wanted)} events, each cut off once: {right} heard every event once, in order")
    print(f"{followers * len(wanted) / took:.0f} events a second in all; the API's memory {grew:+.1f} MB")
    return right == followers


def _tell(on: Stage, claim: Claim, events: int) -> None:
    """Write events in bursts, as slices do, and end the job."""
    for number in range(0, events, 5):
        told = tuple(NewEvent("job.metrics", f"Step {number + place}.", place=2 + number + place) for place in range(5))
        on.store.record(claim, Flush(0, 0, events=told))
    on.store.succeed(claim, [])
