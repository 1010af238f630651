"""What a query may name."""

import pytest

from tests.app.serving import JOBS


@pytest.mark.parametrize(
    ("address", "name", "accepted"),
    [
        (f"{JOBS}?stauts=running", "stauts", "'status'"),
        (f"{JOBS}?metadata[team]=a&labels[team]=b", "labels[team]", "'metadata'"),
        (f"{JOBS}/job-0?full=true", "full", "takes none"),
        (f"{JOBS}/job-0/events?from=3", "from", "'after'"),
        (f"{JOBS}/job-0/metrics?points=3", "points", "'max_points'"),
        (f"{JOBS}/job-0/artifacts?x", "x", "takes none"),
        ("/v1/files?porpose=fine-tune", "porpose", "'purpose'"),
        ("/v1/policies?dialect=keras3", "dialect", "takes none"),
        ("/v1/queue?job=1", "job", "takes none"),
        ("/v1/datasets?page=2", "page", "takes none"),
    ],
)
def test_a_name_that_nobody_reads_is_refused(served, address, name, accepted):
    answer = served.http.get(address)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["code"] == "unknown_parameter"
    assert repr(name) in error["message"]
    assert accepted in error["message"]


def test_every_unknown_name_is_told(served):
    errors = served.http.get(JOBS, params={"a": 1, "limit": 2, "b": 3}).json()["errors"]
    assert [error["message"].split("'")[1] for error in errors] == ["a", "b"]


def test_what_is_declared_or_described_is_read(served):
    answer = served.http.get(f"{JOBS}?limit=3&metadata[team]=vision&status=queued&status=running")
    assert answer.status_code == 200


def test_a_key_of_any_character_filters(served):
    served.submit()
    assert served.http.get(JOBS, params={"metadata[a\nb]": "1"}).json()["data"] == []


@pytest.mark.parametrize("name", ["metadata[]", "metadata", "metadata[team", "metadata]"])
def test_a_label_without_a_key_is_refused(served, name):
    answer = served.http.get(JOBS, params={name: "1"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["code"] == "unknown_parameter"
    assert repr(name) in error["message"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (f"{JOBS}?limit=1&limit=2", "limit"),
        (f"{JOBS}?metadata[team]=a&metadata[team]=b", "metadata[team]"),
        ("/v1/files?order=asc&order=desc", "order"),
        (f"{JOBS}/job-0/metrics?after_step=1&after_step=2", "after_step"),
    ],
)
def test_one_value_that_comes_twice_is_refused(served, address, name):
    answer = served.http.get(address)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["code"] == "repeated_parameter"
    assert repr(name) in error["message"]
