"""No container engine is needed to see that what the Dockerfile and the compose file name exists."""

import json
import re
import tomllib

import jsonschema
import pytest
import yaml

from app.settings import AppSettings
from tests.contracts.sources import ROOT
from worker.settings import WorkerSettings

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "halfstep")


def variables(text: str) -> set[str]:
    return set(re.findall(r"\bHALFSTEP_[A-Z_]+", text))


def known_variables() -> set[str]:
    return {f"HALFSTEP_{name.upper()}" for settings in (AppSettings, WorkerSettings) for name in settings.model_fields}


def seconds(duration: str) -> float:
    assert duration.endswith("s")
    return float(duration.removesuffix("s"))


def test_the_compose_file_keeps_to_the_compose_specification():
    schema = json.loads((ROOT / "tests" / "contracts" / "data" / "compose-spec.json").read_text(encoding="utf-8"))
    specification = jsonschema.Draft7Validator(schema)
    assert [f"{error.json_path}: {error.message}" for error in specification.iter_errors(COMPOSE)] == []
    broken = {**COMPOSE, "services": {"api": {**SERVICES["api"], "stop_grace_perod": "10s"}}}
    assert not specification.is_valid(broken)


@pytest.mark.parametrize("service", OURS)
def test_every_service_runs_a_module_that_exists(service):
    python, flag, module, *_ = SERVICES[service]["command"]
    assert (python, flag) == ("python", "-m")
    path = ROOT / module.replace(".", "/")
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    assert file.is_file()
    assert "__main__" in file.name or '__name__ == "__main__"' in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_read_by_somebody(service):
    assert variables(str(SERVICES[service]["environment"])) <= known_variables()


def test_the_image_sets_only_variables_that_are_read():
    assert variables(DOCKERFILE) <= known_variables()


def test_migrations_run_once_and_before_everything_of_ours():
    assert SERVICES["migrate"]["restart"] == "no"
    for name in set(OURS) - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_the_queue_is_durable_and_never_evicts():
    command = " ".join(SERVICES["valkey"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_every_volume_is_declared_and_artifacts_are_shared():
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert mounted == set(COMPOSE["volumes"])
    assert all("artifacts:/data" in SERVICES[name]["volumes"] for name in OURS)


def test_a_worker_may_finish_its_slice_and_can_be_scaled():
    worker = SERVICES["worker"]
    assert seconds(worker["stop_grace_period"]) > WorkerSettings.model_fields["slice_seconds"].default * 2
    assert "REMAP_SIGTERM" not in worker["environment"]
    assert not {"container_name", "ports"} & set(worker)


def test_the_api_is_published_on_loopback_unless_asked():
    assert SERVICES["api"]["ports"] == ["${HALFSTEP_PUBLISH:-127.0.0.1:8000}:8000"]


def test_the_image_copies_what_exists_and_what_the_project_packages():
    copied = [parts.split()[:-1] for parts in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.MULTILINE)]
    names = {name for parts in copied for name in parts}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert all((ROOT / name).exists() for name in names)
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= names
    assert {f"!{name}" for name in names} <= set(ignored)


def test_the_image_is_hashed_unprivileged_and_watched():
    assert "--require-hashes" in DOCKERFILE
    assert re.search(r"^USER halfstep$", DOCKERFILE, flags=re.MULTILINE)
    assert "HEALTHCHECK" in DOCKERFILE
    assert re.search(r'^CMD \["halfstep", "serve"', DOCKERFILE, flags=re.MULTILINE)
