"""Files that jobs left, whole and in part."""

import base64
import hashlib

import pytest

from tests.app.serving import JOBS, Served

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def url(served: Served) -> str:
    """Where the file of a job that has just succeeded is."""
    job_id = served.submit()
    artifact = served.services.artifacts.put(job_id, "model.safetensors", CONTENT)
    served.services.store.succeed(served.claimed(job_id), [artifact])
    return f"{JOBS}/{job_id}/artifacts/model.safetensors"


def test_the_list_tells_name_size_and_digest(served: Served, url: str):
    folder = url.rpartition("/")[0]
    (entry,) = served.http.get(folder).json()["data"]
    assert (entry["name"], entry["size"], entry["sha256"], entry["url"]) == (
        "model.safetensors",
        len(CONTENT),
        SHA256,
        url,
    )
    job = served.http.get(folder.removesuffix("/artifacts")).json()
    assert job["result"]["artifacts"] == [entry]


def test_the_whole_file_carries_its_digest(served: Served, url: str):
    response = served.http.get(url)
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["etag"] == f'"{SHA256}"'
    assert response.headers["repr-digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(SHA256)).decode()}:"
    assert response.headers["content-length"] == str(len(CONTENT))
    assert response.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "expected", "said"),
    [
        ("bytes=0-9", CONTENT[:10], "bytes 0-9/512000"),
        ("bytes=300000-", CONTENT[300000:], "bytes 300000-511999/512000"),
        ("bytes=-7", CONTENT[-7:], "bytes 511993-511999/512000"),
        ("bytes=511999-9999999", CONTENT[-1:], "bytes 511999-511999/512000"),
        ("bytes=-9999999", CONTENT, "bytes 0-511999/512000"),
    ],
)
def test_a_range_is_that_part(served: Served, url: str, asked, expected, said):
    response = served.http.get(url, headers={"Range": asked})
    assert (response.status_code, response.content) == (206, expected)
    assert response.headers["content-range"] == said
    assert response.headers["content-length"] == str(len(expected))


@pytest.mark.parametrize("asked", ["bytes=512000-", "bytes=-0", "bytes=600000-700000"])
def test_a_range_outside_the_file_is_a_416(served: Served, url: str, asked):
    response = served.http.get(url, headers={"Range": asked})
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */512000")
    assert response.json()["error"]["code"] == "range_not_satisfiable"


@pytest.mark.parametrize(
    "asked", ["bytes=5-3", "bytes=-", "bytes=0-1,4-5", "lines=1-2", "bytes=a-b", "bytes=" + "9" * 30 + "-"]
)
def test_a_range_that_we_do_not_offer_gets_the_whole(served: Served, url: str, asked):
    assert served.http.get(url, headers={"Range": asked}).status_code == 200


def test_a_part_of_another_version_is_the_whole(served: Served, url: str):
    headers = {"Range": "bytes=0-9", "If-Range": '"other"'}
    assert served.http.get(url, headers=headers).status_code == 200
    assert served.http.get(url, headers={**headers, "If-Range": f'"{SHA256}"'}).status_code == 206


def test_who_has_the_file_gets_nothing(served: Served, url: str):
    for etag in (f'"{SHA256}"', f'"x", W/"{SHA256}"', "*"):
        response = served.http.get(url, headers={"If-None-Match": etag})
        assert (response.status_code, response.content) == (304, b"")
    assert served.http.get(url, headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("name", ["missing.json", "..%2F..%2Fhalfstep.db", "%00", "checkpoints"])
def test_another_name_is_not_found(served: Served, url: str, name):
    assert served.http.get(f"{url.rpartition('/')[0]}/{name}").status_code == 404


def test_a_deleted_job_has_no_files(served: Served, url: str):
    job_url = url.partition("/artifacts")[0]
    assert served.http.delete(job_url).status_code == 204
    assert served.http.get(url).status_code == 404
    assert served.services.artifacts.names(job_url.rpartition("/")[2], "") == ()


def test_head_tells_the_same_without_the_file(served: Served, url: str):
    response = served.http.head(url)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(CONTENT))
