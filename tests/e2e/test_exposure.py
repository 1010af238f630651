"""What listens beyond this machine asks for keys, or does not start; keys are made beside it."""

import json
import os
import subprocess
import sys

import httpx
import pytest
import yaml

from tests.contracts.sources import ROOT
from tests.e2e.stack import command, running
from tests.waiting import PATIENCE
from worker.jobs import database

SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


def halfstep(data_dir, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments, "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_serving_others_without_keys_is_refused(tmp_path, host):
    ended = subprocess.run(
        command(tmp_path, "--host", host),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ},
    )
    assert ended.returncode == 1
    assert f"{host} can be reached from other machines" in ended.stderr
    assert "HALFSTEP_AUTH=required" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_http_process_alone_refuses_too(tmp_path):
    environment = {**os.environ, "HALFSTEP_DATA_DIR": str(tmp_path), "HALFSTEP_HOST": "0.0.0.0", "HALFSTEP_PORT": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "app.main"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environment,
    )
    assert ended.returncode == 1
    assert "halfstep: 0.0.0.0 can be reached from other machines" in ended.stderr


def test_the_compose_file_asks_for_keys_where_it_listens_for_others():
    environment = SERVICES["api"]["environment"]
    assert (environment["HALFSTEP_HOST"], environment["HALFSTEP_AUTH"]) == ("0.0.0.0", "required")
    assert "ENV HALFSTEP_AUTH=required" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_first_key_is_made_beside_a_service_that_listens_for_all(tmp_path):
    with running(tmp_path, "--host", "0.0.0.0", "--workers", "1", HALFSTEP_AUTH="required") as stack:
        url = stack.client.url
        assert httpx.get(f"{url}/v1/queue").status_code == 401
        made = halfstep(tmp_path, "keys", "create", "--tenant", "anna", "--name", "first")
        token = made.stdout.strip()
        assert made.returncode == 0, made.stderr
        assert "of tenant anna may read, write" in made.stderr
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
            answer = http.get("/v1/queue")
            assert answer.status_code == 200
            assert answer.headers["ratelimit"].startswith('"key";r=599;t=')
            listed = halfstep(tmp_path, "keys", "list", "--json").stdout
            (key,) = map(json.loads, listed.splitlines())
            assert (key["tenant"], key["name"], key["revoked_at"]) == ("anna", "first", None)
            assert token not in listed + halfstep(tmp_path, "keys", "list").stdout
            assert "is revoked" in halfstep(tmp_path, "keys", "revoke", key["id"]).stdout
            assert http.get("/v1/queue").status_code == 401
        lines = [json.loads(line) for line in halfstep(tmp_path, "audit", "--limit", "10").stdout.splitlines()]
    assert [(line["action"], line["object"], line["outcome"]) for line in lines] == [
        ("GET", "/v1/queue", 401),
        ("keys create", key["id"], 201),
        ("keys revoke", key["id"], 200),
        ("GET", "/v1/queue", 401),
    ]
    logs = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "logs").iterdir())
    assert token not in logs + made.stderr


def test_what_is_wrong_with_a_command_is_said_without_a_trace(tmp_path):
    database.migrate(f"sqlite:///{tmp_path}/halfstep.db")
    for arguments, words in (
        (("keys", "create", "--scope", "admin"), "Received the scopes admin"),
        (("keys", "revoke", "key-x"), "There is no key 'key-x'"),
    ):
        ended = halfstep(tmp_path, *arguments)
        assert ended.returncode == 1
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
