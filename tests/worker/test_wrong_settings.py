"""Variables that mean nothing are named in one sentence: which, what it is, what is accepted; never a password."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import AppSettings
from worker.settings import SettingsRefused, WorkerSettings, settings_of

WRONG = [
    (AppSettings, "HALFSTEP_AUTH", "yes", "'off' or 'required'"),
    (AppSettings, "HALFSTEP_QUOTA_BYTES", "1GB", "a valid integer"),
    (AppSettings, "HALFSTEP_ROOT_PATH", "half", "HALFSTEP_ROOT_PATH"),
    (AppSettings, "HALFSTEP_TRUSTED_PROXIES", "proxy.example", "proxy.example"),
    (WorkerSettings, "HALFSTEP_LIMITS__MAX_STEPS", "many", "a valid integer"),
    (WorkerSettings, "HALFSTEP_DATABASE_URL", "mysql://me:secret@host/name", "postgresql://"),
    (WorkerSettings, "HALFSTEP_DATABASE_URL", "no url at all", "sqlite:///PATH"),
    (WorkerSettings, "HALFSTEP_BROKER_URL", "amqp://me:secret@host", "rediss://"),
    (WorkerSettings, "HALFSTEP_ARTIFACTS_URL", "gopher://secret", "s3://"),
]


@pytest.mark.parametrize(("kind", "variable", "value", "accepted"), WRONG, ids=[f"{row[1]}={row[2]}" for row in WRONG])
def test_a_wrong_variable_is_one_sentence(monkeypatch: pytest.MonkeyPatch, kind, variable, value, accepted):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsRefused) as refused:
        settings_of(kind)
    text = str(refused.value)
    assert text.startswith(f"The setting {variable}")
    assert text.count("The setting") == 1
    assert accepted in text
    assert "secret" not in text


@pytest.mark.parametrize("module", ["app.main", "app.serve", "worker", "worker.reaper", "worker.migrate"])
def test_no_program_ends_in_a_traceback(tmp_path: Path, module: str):
    environment = {"HALFSTEP_DATA_DIR": str(tmp_path / "data"), "HALFSTEP_DATABASE_URL": "mysql://me:secret@host/name"}
    done = subprocess.run(
        [sys.executable, "-m", module], env=environment, cwd=Path(__file__).parents[2], capture_output=True, check=False
    )
    said = done.stderr.decode()
    assert done.returncode == 1
    assert said.startswith("halfstep: The setting HALFSTEP_DATABASE_URL cannot be used")
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("-m", "app.administration", "keys", "create"), 1, "There is no database"),
        (("-m", "app.administration", "keys", "list"), 1, "halfstep serve --data-dir"),
        (("-m", "worker.migrate", "--help"), 0, "newest schema"),
        (("-m", "app.serve", "--port", "99999"), 2, "0<=x<=65535"),
    ],
)
def test_no_command_makes_a_database_by_accident(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str):
    environment = {"HALFSTEP_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=Path(__file__).parents[2], capture_output=True, check=False
    )
    assert done.returncode == code
    assert said in done.stdout.decode() + done.stderr.decode()
    assert not (tmp_path / "data").exists()
