"""The judge of the campaign with keys finds what it is for: a campaign that can see nothing would always pass."""

from types import SimpleNamespace

import pytest

from tests.app.keyed import SECRET
from tests.fuzz.tenants import OTHER, OWNER, Privacy

MINE = {"Authorization": f"Bearer {OTHER}"}
PRIVACY = Privacy({"job_id": "job-owners", "name": "report.json"}, MINE["Authorization"])


def found(status: int, text: str, headers: dict, job_id: str = "job-other", sent: str = "") -> list[str]:
    request = SimpleNamespace(url=f"/v1/training/jobs/{job_id}{sent}", body=None, headers=headers)
    response = SimpleNamespace(status_code=status, text=text, headers={}, request=request)
    case = SimpleNamespace(
        operation=SimpleNamespace(path="/v1/training/jobs/{job_id}"), path_parameters={"job_id": job_id}
    )
    return list(PRIVACY.judge(case, response, headers))  # type: ignore[arg-type]


@pytest.mark.parametrize("told", [SECRET, OWNER, "job-owners"])
def test_what_is_told_of_the_owner_is_found(told):
    assert found(200, f"... {told} ...", MINE) == [f"tells {told!r}"]


def test_what_the_caller_said_himself_is_no_news():
    assert found(404, "There is no 'job-owners'.", MINE, "job-owners") == []
    assert found(200, "report.json", MINE) == []


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_an_answer_without_a_key_is_found(headers):
    assert found(200, "{}", headers) == ["answers 200 to somebody without a good key"]
    assert found(404, "{}", headers) == ["answers 404 to somebody without a good key"]
    assert found(401, "{}", headers) == []


def test_an_answer_to_what_is_anothers_is_found():
    assert found(200, "{}", MINE, "job-owners") == ["answers 200 to what is another tenant's"]
