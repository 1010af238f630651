import json
import os
import subprocess
import sys
from typing import Any


def campaign(*arguments: str) -> dict[str, Any]:
    """Return what `python -m tests.fuzz` found.

    In a process of its own, in which nobody measures coverage: making the requests up would take three times as long.
    """
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-m", "tests.fuzz", *arguments, "--json"]
    ended = subprocess.run(command, env=unmeasured, stdout=subprocess.PIPE, check=False)
    report: dict[str, Any] = json.loads(ended.stdout)
    assert report["faults"] == []
    assert ended.returncode == 0
    return report


def test_made_up_requests_find_no_server_error_and_no_answer_off_its_schema():
    report = campaign("--cases", "300", "--jobs", "150")  # alone (`python -m tests.fuzz`) it sends 2,000 and 500
    assert report["cases"] >= 300
    assert report["changed_jobs"] == 150
    assert not [status for status in report["statuses"] if int(status) >= 500 and status != "503"]
    # Good requests were among them, not only refusals.
    assert report["statuses"]["200"] > 40
    assert report["statuses"]["201"] > 3


def test_made_up_requests_without_rights_see_nothing():
    report = campaign("--auth", "--cases", "250", "--jobs", "30")
    assert report["cases"] >= 250
    # A key of one's own opens the door, a wrong one and none do not.
    assert report["statuses"]["200"] > 20
    assert report["statuses"]["401"] > 50
