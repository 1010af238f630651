"""Processes for checks: bounded in memory and time, started again, and never left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.check_services import CheckSettings
from app.process_pool import CallFailed, ProcessPool, TooCostly
from app.settings import AppSettings
from tests.app import calls
from tests.app.serving import JOBS, SPEC, serving
from tests.app.test_children import is_gone
from tests.waiting import PATIENCE, until
from worker.settings import WorkerSettings
from worker.specs.errors import SpecError

MEMORY = 1024**3
SETTINGS = CheckSettings.of(AppSettings(), WorkerSettings())

PARENT = """
import signal
from tests.app import calls
from tests.app.test_process_pool import MEMORY, PATIENCE, SETTINGS
from app.process_pool import ProcessPool
pool = ProcessPool(PATIENCE, MEMORY)
print(pool.run(SETTINGS, "a", calls.process_id), flush=True)
if {busy}:
    pool._idle.get()._connection.send((SETTINGS, "a", calls.waiting, (), 0.1))
signal.pause()
"""


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    made = ProcessPool(PATIENCE, MEMORY)
    yield made
    made.end()


def test_a_process_is_kept_for_the_next_call(pool: ProcessPool) -> None:
    first = pool.run(SETTINGS, "a", calls.process_id)
    assert first != os.getpid()
    assert pool.run(SETTINGS, "a", calls.process_id) == first


def test_a_call_has_the_services_of_its_tenant(pool: ProcessPool) -> None:
    assert [pool.run(SETTINGS, name, calls.tenant) for name in ("a", "b")] == ["a", "b"]


def test_other_settings_are_other_services(pool: ProcessPool, tmp_path: Path) -> None:
    other = CheckSettings.of(AppSettings(), WorkerSettings(data_dir=tmp_path))
    assert pool.run(other, "a", calls.data_dir) == tmp_path
    assert pool.run(SETTINGS, "a", calls.data_dir) == SETTINGS.shared.data_dir


def test_a_call_beyond_its_memory_ends_alone(pool: ProcessPool) -> None:
    with pytest.raises(TooCostly):
        pool.run(SETTINGS, "a", calls.kept, 2 * MEMORY)
    assert pool.run(SETTINGS, "a", calls.kept, 1000) == 1000


def test_a_call_beyond_its_time_ends_alone(pool: ProcessPool) -> None:
    first = pool.run(SETTINGS, "a", calls.process_id)
    pool.seconds = 0.1
    with pytest.raises(TooCostly):
        pool.run(SETTINGS, "a", calls.waiting)
    assert is_gone(first)


def test_a_process_that_was_ended_while_it_was_idle_is_replaced(pool: ProcessPool) -> None:
    first = pool.run(SETTINGS, "a", calls.process_id)
    os.kill(first, signal.SIGKILL)
    assert pool.run(SETTINGS, "a", calls.process_id) != first


def test_a_process_that_is_ended_in_a_call_is_named_as_too_costly(pool: ProcessPool) -> None:
    with pytest.raises(TooCostly):
        pool.run(SETTINGS, "a", calls.killed)
    assert pool.run(SETTINGS, "a", calls.kept, 1) == 1


def test_a_frozen_process_is_ended(pool: ProcessPool) -> None:
    frozen = pool.run(SETTINGS, "a", calls.process_id)
    pool.seconds = 0.1
    os.kill(frozen, signal.SIGSTOP)
    with pytest.raises(TooCostly):
        pool.run(SETTINGS, "a", calls.size, bytes(10_000_000))
    assert is_gone(frozen)


def test_an_error_comes_back_as_it_was_raised(pool: ProcessPool) -> None:
    with pytest.raises(SpecError) as caught:
        pool.run(SETTINGS, "a", calls.refused, "this is wrong")
    (fault,) = caught.value.errors
    assert (fault.message, fault.pointer) == ("this is wrong", "/model")


def test_a_fault_of_ours_leaves_a_traceback(pool: ProcessPool, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CallFailed):
        pool.run(SETTINGS, "a", calls.failed)
    assert "ZeroDivisionError: nobody expects this" in capfd.readouterr().err
    assert pool.run(SETTINGS, "a", calls.kept, 1) == 1


def test_a_keyboard_interrupt_is_for_the_one_who_asks(pool: ProcessPool) -> None:
    first = pool.run(SETTINGS, "a", calls.process_id)
    os.kill(first, signal.SIGINT)
    assert pool.run(SETTINGS, "a", calls.process_id) == first


@pytest.mark.parametrize("busy", [False, True])
def test_no_process_outlives_the_one_who_asks(busy: bool) -> None:
    command = [sys.executable, "-c", PARENT.format(busy=busy)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        parent.kill()
    until(lambda: is_gone(process))


def test_a_job_that_takes_too_much_to_check_is_refused_and_nothing_else_is_held_up(tmp_path: Path) -> None:
    """Reading 30 MB of numbers takes more than 512 MiB of addresses, of which most are the libraries'."""
    small = ProcessPool(PATIENCE, 512 * 1024**2)
    long = {**SPEC, "data": {"x": [[0.5] * 64] * 75_000, "y": [1] * 75_000}}
    try:
        with serving(tmp_path, pool=lambda: small) as served:
            refused = served.http.post(JOBS, json=long)
            accepted = served.http.post(JOBS, json=SPEC)
            jobs = served.http.get(JOBS).json()["data"]
    finally:
        small.end()
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "resource_limit")
    assert "HALFSTEP_CHECK_MEMORY_BYTES" in refused.json()["detail"]
    assert accepted.status_code == 201
    assert [job["id"] for job in jobs] == [accepted.json()["id"]]
