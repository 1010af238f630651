"""Real processes with secrets in every place that takes one, in order and in trouble: none of them is written down."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.app.serving import JOBS, SPEC
from tests.waiting import PATIENCE, until
from worker import broker

DATABASE, BROKER, S3_KEY, S3_SECRET, GUESSED = (
    f"{name}-which-nobody-may-read" for name in ("database", "broker", "s3-key", "s3-secret", "hs_guessed")
)
WEBHOOK = "whsec_" + base64.b64encode(b"webhook-which-nobody-may-read").decode()
NAMED = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
NOBODY = "127.0.0.1:1"

TRACE = """
import logging, sys
from worker.jobs import logs
logs.configure(sys.argv[1])
def fails(authorization):
    raise RuntimeError("out of order")
try:
    fails("a-token-" + "in-a-variable")
except RuntimeError:
    logging.getLogger("halfstep").exception("it broke")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def guarded_broker(folder: Path) -> Iterator[str]:
    """A broker that asks for a password; its URL holds it."""
    port = free_port()
    command = [
        broker.command(folder)[0],
        "--port",
        str(port),
        "--requirepass",
        BROKER,
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    url = f"redis://:{BROKER}@127.0.0.1:{port}/0"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            broker.wait_for(url, server)
            yield url
        finally:
            server.terminate()


@contextmanager
def process(module: str, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file, subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=file,
                                                  stderr=file) as child:  # fmt: skip
        try:
            yield child
        finally:
            child.kill()


def url_of(environment: dict[str, str]) -> str:
    return f"http://127.0.0.1:{environment['HALFSTEP_PORT']}"


def says(log: Path, words: str) -> bool:
    return words in log.read_text(encoding="utf-8")


def is_up(http: httpx.Client, path: str) -> bool:
    try:
        return http.get(path).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_trace_shows_no_values(form):
    done = subprocess.run([sys.executable, "-c", TRACE, form], check=True, stderr=subprocess.PIPE, text=True)
    assert "out of order" in done.stderr
    assert "a-token-in-a-variable" not in done.stderr


@pytest.mark.parametrize("form", ["console", "json"])
def test_nobody_writes_a_line_into_the_log(form):
    program = (
        TRACE.split("def fails", maxsplit=1)[0]
        + "logging.getLogger('a').warning('%s', 'x\\n2026 [info] forged \\x1b[2J\\u2028')"
    )
    done = subprocess.run([sys.executable, "-c", program, form], check=True, stderr=subprocess.PIPE, text=True)
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.strip().isprintable()


def test_no_process_writes_a_secret_down(tmp_path, postgresql_url):
    logs = tmp_path / "logs"
    logs.mkdir()
    with guarded_broker(tmp_path) as broker_url:
        environment = {
            **os.environ,
            **NAMED,
            "AWS_ENDPOINT_URL": f"http://{NOBODY}",
            "HALFSTEP_DATA_DIR": str(tmp_path),
            "HALFSTEP_DATABASE_URL": postgresql_url.replace("postgres@", f"postgres:{DATABASE}@"),
            "HALFSTEP_BROKER_URL": broker_url,
            "HALFSTEP_ARTIFACTS_URL": "s3://bucket/artifacts",
            "HALFSTEP_AUTH": "required",
            "HALFSTEP_PORT": str(free_port()),
            "HALFSTEP_WEBHOOK_ALLOWED_NETWORKS": json.dumps(["127.0.0.0/8"]),
        }
        said, token = in_order(environment, logs)
        in_trouble(environment, logs)
    written = {path.name: path.read_text(encoding="utf-8") for path in logs.iterdir()}
    assert "job.delayed" in said
    for words in ("the reaper waits", "does not answer", "given back", "webhook message"):
        assert any(words in text for text in written.values()), words
    for secret in (DATABASE, BROKER, S3_SECRET, S3_KEY, GUESSED, WEBHOOK, WEBHOOK.removeprefix("whsec_"), token):
        assert [name for name, text in {**written, "answers": said}.items() if secret in text] == []


def in_order(environment: dict[str, str], logs: Path) -> tuple[str, str]:
    """Run the service, with a store of artifacts that is away; return all answers, and the key they were asked with."""
    command = [sys.executable, "-m", "app.cli", "keys", "create", "--tenant", "anna"]
    subprocess.run([sys.executable, "-m", "worker.migrate"], env=environment, check=True)
    token = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    with ExitStack() as stack:
        for module in ("app.main", "worker", "worker.reaper"):
            stack.enter_context(process(module, environment, logs / f"{module}.log"))
        http = stack.enter_context(
            httpx.Client(base_url=url_of(environment), headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
        )
        until(lambda: is_up(http, "/readyz"), what="the service to be ready")
        hook = {"url": f"http://{NOBODY}/hook?token=of-the-receiver", "secret": WEBHOOK}
        said = [http.post("/v1/webhooks", json=hook).text]
        job = http.post(JOBS, json=SPEC).json()["id"]
        until(lambda: "job.delayed" in http.get(f"{JOBS}/{job}/events").text, what="the store to be missed")
        said += [http.get(f"{JOBS}/{job}{part}").text for part in ("", "/events", "/metrics", "/checkpoints")]
        said.append(http.get(JOBS, headers={"Authorization": f"Bearer {GUESSED}"}).text)
        http.post(f"{JOBS}/{job}/cancel")
        until(lambda: says(logs / "worker.reaper.log", "webhook message"), what="the webhook to be tried")
        said += [http.get(path).text for path in ("/v1/webhooks", "/readyz", "/openapi.json")]
    return "\n".join(said), token


def in_trouble(environment: dict[str, str], logs: Path) -> None:
    """Start each part where the database, and then where the broker, is away."""
    away = {**environment, "HALFSTEP_DATABASE_URL": f"postgresql://halfstep:{DATABASE}@{NOBODY}/halfstep"}
    for module in ("worker", "worker.reaper", "worker.migrate"):
        with process(module, away, logs / f"{module}-no-database.log") as child:
            assert child.wait(60) != 0
    with (
        process("app.main", away, logs / "app.main-no-database.log"),
        httpx.Client(base_url=url_of(environment), headers={"Authorization": f"Bearer {GUESSED}"}) as http,
    ):
        until(lambda: is_up(http, "/healthz"), what="the API to answer")
        assert http.get(JOBS, timeout=PATIENCE).status_code == 503
    away = {**environment, "HALFSTEP_BROKER_URL": f"redis://:{BROKER}@{NOBODY}/0"}
    with ExitStack() as stack:
        for module, words in (("worker", "Cannot connect"), ("worker.reaper", "the reaper waits")):
            log = logs / f"{module}-no-broker.log"
            stack.enter_context(process(module, away, log))
            until(partial(says, log, words), what=f"{module} to miss the broker")
