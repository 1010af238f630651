import json
import os
import subprocess
import sys

import pytest


@pytest.mark.timeout(400)  # more than enough alone; tests share two cores with whatever else runs
def test_made_up_requests_find_no_server_error_and_no_answer_off_its_schema():
    # A process of its own, in which nobody measures coverage: making the requests up would take three times as long.
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-m", "tests.fuzz", "--cases", "800", "--jobs", "300", "--json"]  # alone it sends 2,000
    ended = subprocess.run(command, env=unmeasured, stdout=subprocess.PIPE, check=False)
    report = json.loads(ended.stdout)
    assert report["faults"] == []
    assert ended.returncode == 0
    assert report["cases"] >= 800
    assert report["changed_jobs"] == 300
    statuses = {int(status): count for status, count in report["statuses"].items()}
    assert not [status for status in statuses if status >= 500 and status != 503]
    # Good requests were among them, not only refusals.
    assert statuses[200] > 50
    assert statuses[201] > 3
