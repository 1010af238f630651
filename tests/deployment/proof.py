"""What an image must be and do: unprivileged, watched, and able to train a job."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from app.client import ApiError, Client, Unreachable
from tests.deployment.container import Container
from tests.e2e.test_compose_services import JOB
from tests.waiting import until

READY_SECONDS = 120.0
END_SECONDS = 60.0


def prove(container: Container) -> dict[str, Any]:
    """Look at the image and run it; raise AssertionError where it is not what it should be."""
    config = container.settings
    assert config["User"] == "halfstep", config["User"]
    assert config["Healthcheck"]["Test"][0] == "CMD", config["Healthcheck"]
    assert config["Cmd"][:2] == ["halfstep", "serve"], config["Cmd"]
    assert "HALFSTEP_AUTH=required" in config["Env"]
    uid = int(container.output("id", "-u"))
    assert uid != 0
    assert "serve" in container.output("halfstep", "--help")
    tools = "for tool in gcc pip pip3; do command -v $tool; done; python -m pip --version 2>/dev/null; true"
    assert container.output("sh", "-c", tools) == ""
    written = container.output("sh", "-c", "touch /opt/halfstep/x 2>/dev/null && echo yes || true")
    assert written == "", "the program may be changed by who runs it"
    return {"bytes": container.bytes, "uid": uid, **_served(container)}


def _served(container: Container) -> dict[str, Any]:
    """Run the image's own command, on a free port, and train a job with a key made beside it."""
    config = container.settings
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [port if part == "8000" else part for part in config["Cmd"]]
    check = [part.replace(":8000/", f":{port}/") for part in config["Healthcheck"]["Test"][1:]]
    begun = time.monotonic()
    with subprocess.Popen(container.command(command), start_new_session=True) as service:
        try:
            until(lambda: _exits_well(container, check), READY_SECONDS, "the health check to pass")
            healthy = time.monotonic() - begun
            token = container.output("halfstep", "keys", "create", "--tenant", "proof").split()[-1]
            with Client(f"http://127.0.0.1:{port}", api_key=token) as client:
                until(lambda: _ready(client), READY_SECONDS, "the service to be ready")
                job = client.submit(JOB)["id"]
                until(lambda: client.get(job)["status"] in {"succeeded", "failed"}, READY_SECONDS, "the job to end")
                assert client.get(job)["status"] == "succeeded", client.get(job)["error"]
            begun = time.monotonic()
            # As an engine does: the first process alone is asked. The chroot is no wall, so its number is ours.
            os.kill(_first_process(port), signal.SIGTERM)
            ended = service.wait(END_SECONDS)
            assert ended == 0, ended
        finally:
            if service.poll() is None:
                os.killpg(service.pid, signal.SIGKILL)
    ending = time.monotonic() - begun
    return {"seconds_until_healthy": round(healthy, 1), "job": "succeeded", "seconds_to_end": round(ending, 1)}


def _first_process(port: str) -> int:
    """The number of `halfstep serve` itself, which was told this port, and not of those who started it."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program, *words = path.read_text(errors="replace").split("\0")
        except OSError:
            continue
        # The command line becomes the service (execv), which changes how it is called.
        if program.startswith("/opt/halfstep/bin/") and port in words and {"serve", "app.serve"} & set(words):
            return int(path.parent.name)
    raise AssertionError("halfstep serve does not run")


def _exits_well(container: Container, command: list[str]) -> bool:
    return subprocess.run(container.command(command), check=False, stderr=subprocess.DEVNULL).returncode == 0


def _ready(client: Client) -> bool:
    try:
        client.ready()
    except (ApiError, Unreachable):
        return False
    return True
