"""Threads of requests: what waits for one thing takes no thread from another, and no tenant takes all."""

import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import anyio
import httpx
import pytest
from anyio.to_thread import run_sync

from app.main import inherited
from app.protocol import BoundedHttp
from app.thread_pools import NoThread, ThreadPool
from tests.app.serving import JOBS, SPEC, serving
from tests.waiting import until


def test_one_tenant_does_not_take_every_thread():
    release, begun = Event(), list[str]()

    def hold(name: str) -> None:
        begun.append(name)
        release.wait()

    async def requests() -> None:
        pool = ThreadPool(3, per_tenant=2)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(pool.run, "anna", hold, "anna")
            await run_sync(until, lambda: len(begun) == 2)
            tasks.start_soon(pool.run, "ben", hold, "ben")
            await run_sync(until, lambda: len(begun) == 3)
            release.set()

    anyio.run(requests)
    assert begun[:3] == ["anna", "anna", "ben"]
    assert sorted(begun) == ["anna"] * 5 + ["ben"]


def test_who_gets_no_thread_in_time_is_refused_and_nothing_is_done():
    release, begun = Event(), list[str]()

    async def requests() -> str:
        pool = ThreadPool(1, per_tenant=1, wait_seconds=0.05)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.run, "anna", release.wait)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(NoThread):
                await pool.run("ben", begun.append, "ben")
            release.set()
        return await pool.run("ben", lambda: "again")

    assert anyio.run(requests) == "again"
    assert begun == []


def test_reads_are_answered_while_another_process_keeps_the_lock_for_writing(tmp_path: Path):
    with serving(tmp_path) as served, ThreadPoolExecutor(12) as clients:
        job_id = served.submit()
        with closing(sqlite3.connect(tmp_path / "halfstep.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            submitted = [clients.submit(httpx.post, served.url + JOBS, json=SPEC, timeout=None) for _ in range(12)]
            until(lambda: served.services.pools.writes.waiting > 0)
            for _ in range(5):
                assert [job["id"] for job in served.http.get(JOBS).json()["data"]] == [job_id]
                assert served.http.get(f"{JOBS}/{job_id}").status_code == 200
            other.execute("ROLLBACK")
        assert {answer.result().status_code for answer in submitted} == {201}


def test_connections_of_an_inherited_socket_send_at_once(tmp_path: Path):
    """A descriptor that uvicorn opens itself has no TCP_NODELAY: each kept-alive answer would wait 42 ms."""
    options = []

    class Looked(BoundedHttp):
        def connection_made(self, transport) -> None:
            super().connection_made(transport)
            options.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    with serving(tmp_path, http=Looked, listen=lambda listener: inherited(listener.detach()) or []) as served:
        assert served.http.get("/healthz").status_code == 200
    assert options == [1]
