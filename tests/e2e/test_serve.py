"""The supervisor: it starts, keeps alive, and ends every part; and says why where it cannot."""

import os
import signal
import socket
import subprocess

import pytest

from app.serve import END_BROKER_SECONDS, END_SECONDS
from tests.e2e.stack import command, job, processes, running
from tests.waiting import PATIENCE, until


def test_what_does_not_end_by_itself_is_killed_within_five_seconds():
    assert END_SECONDS + END_BROKER_SECONDS < 5  # a clock would say how loaded the machine is


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_process_and_a_restart_goes_on(tmp_path, number):
    with running(tmp_path) as stack:
        job_id = stack.client.submit(job(epochs=40))["id"]
        until(lambda: stack.step(job_id) > 100)
        assert len(processes(tmp_path)) >= 5
        stack.process.send_signal(number)
        assert stack.process.wait(30) == 0
        assert processes(tmp_path) == set()
    with running(tmp_path) as stack:
        ended = stack.ended(job_id)
        undisturbed = stack.ended(stack.client.submit(job(epochs=40))["id"])
        assert (ended["status"], ended["attempt"] > 1) == ("succeeded", True)
        assert stack.model(job_id) == stack.model(undisturbed["id"])


def test_parts_end_with_a_supervisor_that_is_killed(tmp_path):
    with running(tmp_path) as stack:
        stack.process.kill()
        stack.process.wait(5)
        assert until(lambda: not processes(tmp_path)) is True


def test_a_dead_part_is_started_again(tmp_path):
    with running(tmp_path) as stack:
        first = until(stack.worker)
        os.killpg(first, signal.SIGKILL)
        second = until(lambda: (pid := stack.worker()) != first and pid)
        assert second not in {0, first}
        assert stack.ended(stack.client.submit(job(epochs=1))["id"])["status"] == "succeeded"


def refused(*arguments: str) -> str:
    """Start a service that cannot start, and return what it says."""
    done = subprocess.run([*arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_second_service_on_the_same_folder_is_refused(tmp_path):
    with running(tmp_path) as stack:
        said = refused(*command(tmp_path))
        assert "Another halfstep serves the data folder" in said
        assert str(stack.process.pid) in said
        assert stack.client.ready() == {"database": "ok", "broker": "ok", "worker": "ok"}


def test_a_port_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"Cannot listen on 127.0.0.1:{port}" in refused(*command(tmp_path, "--port", port))


def test_a_host_that_is_not_ours_is_named(tmp_path):
    assert "Cannot listen on 192.0.2.1" in refused(*command(tmp_path, "--host", "192.0.2.1"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "cannot be written to" in refused(*command(tmp_path / "file" / "data"))


def test_a_broken_database_is_named(tmp_path):
    (tmp_path / "halfstep.db").write_bytes(b"this is no database" * 100)
    assert "The database cannot be used" in refused(*command(tmp_path))
