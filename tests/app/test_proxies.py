"""Behind a proxy: whom X-Forwarded-For is believed, and under which path the service is shown."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import AppSettings
from tests.app.keyed import keyed
from tests.app.serving import JOBS, SPEC
from worker.jobs.audit import AuditLog


def addresses(service) -> set[str]:
    return {line.address for line in AuditLog(service.served.services.database).read()}


@pytest.mark.parametrize(
    ("proxies", "seen"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9"), (("10.0.0.1",), "127.0.0.1")]
)
def test_only_a_configured_proxy_is_believed(tmp_path: Path, proxies: tuple[str, ...], seen: str):
    with keyed(tmp_path, "anna", trusted_proxies=proxies) as service, service.http("anna") as anna:
        anna.post(JOBS, json=SPEC, headers={"X-Forwarded-For": "203.0.113.9"})
        assert addresses(service) == {seen}


def test_the_path_that_a_proxy_removes_is_in_locations(tmp_path: Path):
    with keyed(tmp_path, "anna", root_path="/half/step") as service, service.http("anna") as anna:
        made = anna.post(JOBS, json=SPEC)
        assert made.headers["Location"] == f"/half/step{JOBS}/{made.json()['id']}"
        assert anna.get(f"{JOBS}/{made.json()['id']}").json()["id"] == made.json()["id"]
        with service.http("") as nobody:
            assert [nobody.get(path).status_code for path in ("/healthz", JOBS)] == [200, 401]
        assert anna.get("/openapi.json").json()["servers"] == [{"url": "/half/step"}]


@pytest.mark.parametrize(
    "wrong", [{"root_path": "half"}, {"root_path": "/half/"}, {"trusted_proxies": ("proxy.example",)}]
)
def test_settings_of_proxies_that_mean_nothing_are_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        AppSettings(**wrong)
