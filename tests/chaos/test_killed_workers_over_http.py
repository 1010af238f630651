"""kill -9 of the worker's process group, three times in mid-training: the user notices nothing but the time."""

import json
import os
import signal

import pytest

from tests.contracts.sources import ROOT
from tests.e2e.stack import Stack, running
from tests.waiting import until

pytestmark = pytest.mark.chaos

KILLS = 3
EXAMPLE = ROOT / "examples" / "digits.json"


def kill_after(stack: Stack, job_id: str, step: int, dead: set[int]) -> int:
    """Kill the worker's group once the job is past `step`; return how far it was."""
    until(lambda: stack.step(job_id) > step, what=f"step {step}")
    pid = until(lambda: worker if (worker := stack.worker()) not in dead else 0)
    os.killpg(pid, signal.SIGKILL)
    dead.add(pid)
    return stack.step(job_id)


def test_three_kills_leave_the_model_bit_identical(tmp_path):
    # The job of the demo, made longer: on a fast machine it would end between two kills.
    spec = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    spec["fit"]["epochs"] *= 2
    with running(tmp_path) as stack:
        undisturbed = stack.ended(stack.client.submit(spec)["id"])
        job_id = stack.client.submit(spec)["id"]
        dead: set[int] = set()
        step = 0
        for _ in range(KILLS):
            step = kill_after(stack, job_id, step + 300, dead)
        ended = stack.ended(job_id)
        columns = stack.client.metrics(job_id, max_points=100_000)
        events = list(stack.client.events(job_id))
        assert (len(dead), ended["status"]) == (KILLS, "succeeded")
        assert ended["attempt"] > KILLS
        assert stack.model(job_id) == stack.model(undisturbed["id"])
        assert columns == stack.client.metrics(undisturbed["id"], max_points=100_000)
        assert columns["step"] == list(range(1, ended["progress"]["total_steps"] + 1))
        assert [event["id"] for event in events] == list(range(1, len(events) + 1))
        assert sum(event["type"] == "job.lease_expired" for event in events) >= KILLS
