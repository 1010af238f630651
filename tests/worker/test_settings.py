"""Settings: from the environment, with everything in the data folder unless told otherwise."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from worker.settings import WorkerSettings, embedded_url

VARIABLES = ("HALFSTEP_DATA_DIR", "HALFSTEP_DATABASE_URL", "HALFSTEP_BROKER_URL", "HALFSTEP_ARTIFACTS_URL", "REDIS_URL")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_everything_lies_in_the_data_folder(tmp_path: Path):
    settings = WorkerSettings(data_dir=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/halfstep.db"
    assert settings.artifacts_url == f"file://{tmp_path}/artifacts"
    assert settings.broker_url == embedded_url(tmp_path)
    assert settings.embedded_broker


def test_variables_say_otherwise(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HALFSTEP_DATABASE_URL", "postgresql://db/halfstep")
    monkeypatch.setenv("HALFSTEP_SLICE_SECONDS", "3")
    monkeypatch.setenv("HALFSTEP_LIMITS__MAX_STEPS", "7")
    monkeypatch.setenv("REDIS_URL", "redis://broker:6379/0")
    settings = WorkerSettings()
    assert (settings.database_url, settings.slice_seconds) == ("postgresql://db/halfstep", 3.0)
    assert settings.limits.max_steps == 7
    assert settings.broker_url == "redis://broker:6379/0"
    assert not settings.embedded_broker


def test_our_own_variable_comes_before_redis_url(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", "redis://theirs")
    monkeypatch.setenv("HALFSTEP_BROKER_URL", "redis://ours")
    assert WorkerSettings().broker_url == "redis://ours"


def test_settings_are_values(tmp_path: Path):
    settings = WorkerSettings(data_dir=tmp_path)
    assert settings == WorkerSettings(data_dir=tmp_path)
    with pytest.raises(ValidationError, match="frozen"):
        settings.slice_seconds = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("bad", [{"lease_seconds": 0}, {"keep_checkpoints": 0}, {"limits": {"max_stepz": 1}}])
def test_settings_of_no_sense_are_refused(bad):
    with pytest.raises(ValidationError):
        WorkerSettings(**bad)
