"""docs/operations.md: its commands are run while a job trains, and the job goes on elsewhere from what they saved."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.contracts.sources import ROOT
from tests.e2e.workers import installed
from tests.worker.specs.jobs import changed
from worker.jobs.states import JobStatus

SPEC = changed({"/fit/epochs": 25})


def commands() -> list[str]:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(r"SQLite, while the service runs.*?```sh\n(.*?)```", text, flags=re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def test_a_restored_backup_goes_on_to_the_same_weights(tmp_path):
    live, backup = tmp_path / "halfstep-data", tmp_path / "backup"
    backup.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with installed(live, checkpoint_seconds=0.2, flush_seconds=0.1) as here:
        worker = here.start_worker()
        job = here.submit(SPEC)
        here.event(job, "job.checkpoint")
        for command in commands():
            subprocess.run(command, shell=True, check=True, cwd=tmp_path, env={**os.environ, "PATH": path})
        assert here.finished(job).status is JobStatus.SUCCEEDED
        undisturbed = here.digest(job)
        os.killpg(worker.pid, signal.SIGKILL)
    with installed(backup) as there:
        restored = there.store.get(job.id)
        assert restored.status is JobStatus.RUNNING
        there.start("worker.reaper")
        there.start_worker()
        assert there.finished(job).status is JobStatus.SUCCEEDED
        assert there.digest(job) == undisturbed
        steps = there.store.metrics(job.id, names=["step"], max_points=10**6)["step"]
    assert steps == list(range(1, job.progress.total_steps + 1))
