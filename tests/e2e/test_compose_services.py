"""The services of docker-compose.yml, with their own commands, on a real PostgreSQL and Valkey, without containers."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import yaml

from app.client import ApiError, Client, Unreachable
from tests.contracts.sources import ROOT
from tests.waiting import until

"""Four processes on two cores, which other tests use too."""
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
JOB = {
    "model": {
        "class_name": "Sequential",
        "config": {
            "name": "linear",
            "layers": [{"class_name": "Dense", "config": {"units": 10, "batch_input_shape": [None, 64]}}],
        },
    },
    "policy": "mixed_float16",
    "compile": {"optimizer": "adam", "loss": "mse"},
    "fit": {"batch_size": 64, "epochs": 1},
    "data": {"x": [[0.5] * 64] * 128, "y": [[1.0] * 10] * 128},
}


@pytest.fixture
def environment(postgresql_url, broker_url, tmp_path):
    """What the compose file sets, with the addresses of this machine."""
    return {
        **os.environ,
        "HALFSTEP_DATABASE_URL": postgresql_url,
        "HALFSTEP_BROKER_URL": broker_url,
        "HALFSTEP_ARTIFACTS_URL": f"file://{tmp_path / 'artifacts'}",
        "HALFSTEP_DATA_DIR": str(tmp_path),
        "HALFSTEP_HOST": "127.0.0.1",
        "HALFSTEP_PORT": str(free_port()),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(service: str) -> list[str]:
    _python, *arguments = SERVICES[service]["command"]
    return [sys.executable, *arguments]


@contextmanager
def process(service: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command(service), env=environment, stderr=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def is_ready(client: Client) -> bool:
    try:
        client.ready()
    except (ApiError, Unreachable):
        return False
    return True


def test_a_job_goes_through_services_that_share_only_addresses(environment):
    subprocess.run(command("migrate"), env=environment, check=True)
    with ExitStack() as stack:
        services = [stack.enter_context(process(name, environment)) for name in ("api", "worker", "worker", "reaper")]
        client = stack.enter_context(Client(f"http://127.0.0.1:{environment['HALFSTEP_PORT']}"))
        until(lambda: is_ready(client), what="the services to be ready")
        job = client.submit(JOB)["id"]
        until(lambda: client.get(job)["status"] in {"succeeded", "failed"}, what="the job to end")
        assert client.get(job)["error"] is None
        assert {artifact["name"] for artifact in client.artifacts(job)} >= {"model.safetensors", "history.json"}
        for service in services:
            service.terminate()
        ended = [service.wait(15) for service in services]
    # The HTTP server ends its requests in order and then dies of the signal it was sent, as uvicorn does.
    assert ended[0] in {0, -signal.SIGTERM}
    assert ended[1:] == [0, 0, 0]
