"""Nothing of one tenant is there for another, whatever route is asked: all of those that the document lists."""

from collections.abc import Iterator

import httpx
import pytest

from tests.app.keyed import SECRET, Keyed, keyed, things_of
from tests.app.serving import JOBS, SPEC

BODIES = {"/v1/training/jobs": SPEC, "/v1/training/jobs/{job_id}/predict": {"x": [[0.0] * 64]}}
"""What a POST needs to get as far as looking for somebody's things; an empty object otherwise."""


@pytest.fixture
def service(tmp_path) -> Iterator[Keyed]:
    with keyed(tmp_path, "anna", "ben") as running:
        yield running


def operations(http: httpx.Client) -> Iterator[tuple[str, str]]:
    for path, methods in http.get("/openapi.json").json()["paths"].items():
        yield from ((method.upper(), path) for method in methods)


def send(http: httpx.Client, method: str, path: str, things: dict[str, str]) -> httpx.Response:
    body = {"json": BODIES.get(path, {})} if method in {"POST", "PUT", "PATCH"} else {}
    return http.request(method, path.format(**things), **body)


def test_every_route_with_a_name_in_it_has_nothing_of_another_tenant(service):
    things = things_of(service, "anna")
    with service.http("anna") as anna, service.http("ben") as ben:
        before = anna.get(f"{JOBS}/{things['job_id']}").json()
        named = [(method, path) for method, path in operations(anna) if "{" in path]
        # A parameter of a new name must be given a thing here, or this test would look at nothing.
        assert {part[1:-1] for _, path in named for part in path.split("/") if part.startswith("{")} <= set(things)
        refused = {(method, path): send(ben, method, path, things) for method, path in named}
        assert {where: answer.status_code for where, answer in refused.items() if answer.status_code != 404} == {}
        assert len(named) >= 9
        # Whom the things belong to is answered otherwise (of a model not yet there, that it is not); deleting is last.
        for method, path in sorted(named, key=lambda operation: operation[0] == "DELETE"):
            answer = send(anna, method, path, things)
            assert answer.status_code not in {401, 403}, (method, path)
            assert answer.status_code != 404 or answer.json()["detail"] != refused[method, path].json()["detail"]
    assert before["suffix"] == SECRET


def test_every_route_without_a_name_tells_nothing_of_another_tenant(service):
    things = things_of(service, "anna")
    with service.http("ben") as ben:
        unnamed = [(method, path) for method, path in operations(ben) if "{" not in path]
        answers = [send(ben, method, path, things) for method, path in unnamed]
    assert len(answers) >= 14
    for (method, path), answer in zip(unnamed, answers, strict=True):
        for mark in (SECRET, "anna", things["job_id"], things["checkpoint_id"]):
            assert mark not in answer.text, (method, path)
            assert mark not in str(answer.headers), (method, path)


@pytest.mark.parametrize("place", ["checkpoint_id", "job_id"])
def test_no_job_starts_from_another_tenants_checkpoint(service, place):
    name = things_of(service, "anna")[place]
    openai = {"model": name, "training_file": "file-absent"}
    with service.http("ben") as ben:
        for path, member, body in ((JOBS, "from_checkpoint", SPEC), ("/v1/fine_tuning/jobs", "model", openai)):
            strange, absent = (ben.post(path, json={**body, member: of}) for of in (name, f"{name[:-4]}0000"))
            assert strange.status_code == absent.status_code
            assert 400 <= strange.status_code < 500
            assert strange.json()["detail"].replace(name, "") == absent.json()["detail"].replace(f"{name[:-4]}0000", "")


def test_a_stream_of_another_tenants_job_is_not_found(service):
    job = things_of(service, "anna")["job_id"]
    with service.http("ben") as ben:
        streamed = ben.get(f"{JOBS}/{job}/events", params={"stream": "true"}, headers={"Last-Event-ID": "1"})
        absent = ben.get(f"{JOBS}/job-absent/events", params={"stream": "true"})
    assert streamed.status_code == absent.status_code == 404
    assert streamed.json()["detail"].replace(job, "") == absent.json()["detail"].replace("job-absent", "")


def test_counts_and_cursors_are_the_tenants_own_and_places_count_turns(service):
    with service.http("anna") as anna, service.http("ben") as ben:
        theirs = [anna.post(JOBS, json=SPEC).json()["id"] for _ in range(3)]
        mine = ben.post(JOBS, json=SPEC).json()
        assert mine["queue_position"] == 2  # the two take turns, and neither has begun
        assert anna.get(f"{JOBS}/{theirs[2]}").json()["queue_position"] == 4
        assert ben.get("/v1/queue").json()["queued"] == 1
        assert [job["id"] for job in ben.get(JOBS).json()["data"]] == [mine["id"]]
        assert ben.get(JOBS, params={"after": theirs[0]}).status_code == 404
        assert anna.get("/v1/queue").json()["queued"] == 3


def test_two_tenants_may_choose_the_same_idempotency_key(service):
    with service.http("anna") as anna, service.http("ben") as ben:
        made = [http.post(JOBS, json=SPEC, headers={"Idempotency-Key": "k"}) for http in (anna, ben, anna)]
    ids = [response.json()["id"] for response in made]
    assert ids[0] == ids[2] != ids[1]
