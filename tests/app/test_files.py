"""Files over HTTP: what comes in is what comes out, and what cannot be used is refused by row and column."""

import errno
import hashlib
import io
import json
from dataclasses import replace
from typing import BinaryIO

import numpy as np
import openai
import pytest
from fastapi import FastAPI

from app.deps import Services
from app.settings import AppSettings
from tests.app.serving import JOBS, SPEC, Served, serving
from worker.jobs.artifacts import ArtifactStore, Writer
from worker.jobs.errors import JobNotFound
from worker.jobs.files import CONTENT, FileStore
from worker.jobs.records import Artifact, JobError
from worker.specs.uploads import Uploads

FILES = "/v1/files"


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


DIGITS = npz(x=np.arange(20 * 64, dtype=np.uint8).reshape(20, 64), y=np.arange(20) % 10)
TABLE = b"a,b,label\n1,0.5,0\n2,0.25,1\n3,1e-3,1\n"


def upload(served: Served, content: bytes, name: str = "digits.npz", purpose: str = "fine-tune"):
    return served.http.post(FILES, files={"file": (name, content)}, data={"purpose": purpose})


def uploaded(served: Served, content: bytes = DIGITS, name: str = "digits.npz") -> str:
    response = upload(served, content, name)
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def stored(served: Served) -> list[str]:
    """Folders of files among the artifacts."""
    root = served.services.shared.data_dir / "artifacts"
    return [path.name for path in root.glob("file-*")]


def test_a_file_comes_in_and_out(served: Served):
    response = upload(served, DIGITS)
    file = response.json()
    assert response.headers["Location"] == f"{FILES}/{file['id']}"
    assert {name: file[name] for name in ("object", "bytes", "filename", "purpose", "status", "format", "rows")} == {
        "object": "file",
        "bytes": len(DIGITS),
        "filename": "digits.npz",
        "purpose": "fine-tune",
        "status": "processed",
        "format": "npz",
        "rows": 20,
    }
    assert file["sha256"] == hashlib.sha256(DIGITS).hexdigest()
    assert file["arrays"][0] == {"name": "x", "dtype": "uint8", "shape": [20, 64]}
    assert served.http.get(f"{FILES}/{file['id']}").json() == file
    content = served.http.get(f"{FILES}/{file['id']}/content")
    assert (content.content, content.headers["ETag"]) == (DIGITS, f'"{file["sha256"]}"')


def test_a_part_of_a_file_can_be_asked_for(served: Served):
    url = f"{FILES}/{uploaded(served)}/content"
    part = served.http.get(url, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, DIGITS[2:6])
    assert served.http.get(url, headers={"Range": "bytes=999999-"}).status_code == 416
    assert served.http.get(url, headers={"If-None-Match": part.headers["ETag"]}).status_code == 304


def test_files_are_paged_newest_first_and_by_purpose(served: Served):
    ids = [uploaded(served, TABLE, f"{number}.csv") for number in range(3)]
    other = upload(served, TABLE, "o.csv", "evals").json()["id"]
    first = served.http.get(FILES, params={"limit": 2, "purpose": "fine-tune"}).json()
    assert ([file["id"] for file in first["data"]], first["has_more"]) == ([ids[2], ids[1]], True)
    rest = served.http.get(FILES, params={"limit": 2, "purpose": "fine-tune", "after": first["last_id"]}).json()
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    rising = served.http.get(FILES, params={"order": "asc"}).json()
    assert [file["id"] for file in rising["data"]] == [*ids, other]
    assert served.http.get(FILES, params={"after": "file-none"}).status_code == 404


def test_deleting_twice_is_deleting_once(served: Served):
    file_id = uploaded(served)
    for _ in range(2):
        assert served.http.delete(f"{FILES}/{file_id}").json() == {"id": file_id, "object": "file", "deleted": True}
    assert served.http.get(f"{FILES}/{file_id}").status_code == 404
    assert served.http.get(f"{FILES}/{file_id}/content").status_code == 404
    assert served.http.delete(f"{FILES}/file-never").status_code == 404
    assert (stored(served), served.http.get(FILES).json()["data"]) == ([], [])


def test_a_file_of_a_job_that_may_still_run_stays(served: Served):
    file_id = uploaded(served)
    job_id = served.submit(data={"file": file_id})
    refused = served.http.delete(f"{FILES}/{file_id}")
    assert (refused.status_code, refused.headers["x-should-retry"]) == (409, "false")
    assert job_id in refused.json()["detail"]
    served.services.store.fail(served.claimed(job_id), JobError("internal", "over"))
    assert served.http.delete(f"{FILES}/{file_id}").status_code == 200
    gone = served.http.post(JOBS, json={**SPEC, "data": {"file": file_id}})
    assert (gone.status_code, gone.json()["error"]["code"]) == (422, "file_not_found")


def test_a_job_pins_its_file(served: Served):
    file_id = uploaded(served)
    data = served.http.get(f"{JOBS}/{served.submit(data={'file': file_id})}").json()["data"]
    assert data == {"file": file_id, "sha256": hashlib.sha256(DIGITS).hexdigest()}
    other = served.http.post(JOBS, json={**SPEC, "data": {"file": file_id, "sha256": "0" * 64}})
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "/data/sha256")


def test_a_job_is_held_against_its_file(served: Served):
    file_id = uploaded(served, TABLE, "table.csv")
    shape = served.http.post(JOBS, json={**SPEC, "data": {"file": file_id}})
    assert (shape.status_code, shape.json()["errors"][0]["pointer"]) == (422, "/data/file")
    column = served.http.post(JOBS, json={**SPEC, "data": {"file": file_id, "x": ["a", "bb"]}})
    assert (column.status_code, column.json()["errors"][0]["pointer"]) == (422, "/data/x/1")
    labels = uploaded(served, npz(x=np.zeros((3, 64)), y=np.array([0, 1, 77])))
    far = served.http.post(JOBS, json={**SPEC, "data": {"file": labels}})
    assert far.status_code == 422
    assert "77" in far.json()["detail"]


def test_every_bad_cell_is_named_up_front(served: Served):
    rows = "".join(f"{row},{row if row % 3 else 'oops'}\n" for row in range(1000))
    refused = upload(served, f"a,b\n{rows}2000,\n".encode(), "bad.csv")
    problem = refused.json()
    assert (refused.status_code, problem["error"]["code"], len(problem["errors"])) == (422, "data_invalid", 100)
    assert problem["errors"][0] == {
        "code": "data_invalid",
        "type": "ValueError",
        "message": "Row 0, column 'b': must be a finite number. Received: \"oops\".",
        "pointer": "/file/0/b",
    }
    assert "335 such" in problem["detail"]
    assert stored(served) == []


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"files": {"file": ("x.csv", TABLE)}}, 422, "`purpose` is missing"),
        ({"files": {"purpose": (None, "fine-tune")}}, 422, "`file` is missing"),
        ({"files": {"file": ("x.csv", TABLE)}, "data": {"purpose": "A b"}}, 422, "must be a word"),
        ({"files": {"file": ("x.csv", TABLE)}, "data": {"purpose": "a", "more": "1"}}, 422, "is not offered"),
        ({"files": {"file": ("x.pkl", TABLE)}, "data": {"purpose": "a"}}, 422, "pickles are never loaded"),
        ({"files": {"file": ("x.csv", b"")}, "data": {"purpose": "a"}}, 422, "first row is empty"),
        ({"files": [("file", ("x.csv", TABLE))] * 2}, 400, "cannot be read"),
        ({"json": {}}, 415, "multipart"),
        ({"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "cannot be read"),
        ({"content": b"junk", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400, ""),
    ],
)
def test_a_bad_upload_is_told_why(served: Served, body: dict, status: int, said: str):
    response = served.http.post(FILES, **body)
    assert response.status_code == status, response.text
    assert said in response.json()["detail"]
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_file_above_the_limit_is_a_413(tmp_path):
    with serving(tmp_path, AppSettings(max_file_bytes=1024)) as served:
        small = upload(served, b"a,b\n" + b"1,2\n" * 200, "small.csv")
        for size in (400, 400_000):
            large = upload(served, b"a,b\n" + b"1,2\n" * size, "large.csv")
            assert (large.status_code, large.json()["error"]["code"]) == (413, "file_too_large")
    assert small.status_code == 201


def test_names_with_paths_and_letters_of_every_kind(served: Served):
    file = upload(served, TABLE, "../../C:\\data\\Größe ☃.csv").json()
    assert file["filename"] == "Größe ☃.csv"
    said = served.http.get(f"{FILES}/{file['id']}/content").headers["Content-Disposition"]
    assert said == "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%E2%98%83.csv"


def test_the_stock_openai_client(served: Served):
    rows = [json.dumps({"x": [float(row)] * 64, "y": row % 10}) for row in range(12)]
    content = "\n".join(rows).encode()
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        made = client.files.create(file=("train.jsonl", content), purpose="fine-tune")
        assert (made.object, made.bytes, made.status) == ("file", len(content), "processed")
        assert [file.id for file in client.files.list(limit=1)] == [made.id]
        assert client.files.retrieve(made.id).filename == "train.jsonl"
        assert client.files.content(made.id).read() == content
        assert client.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(made.id)
        with pytest.raises(openai.UnprocessableEntityError, match="must be a number"):
            client.files.create(file=("bad.jsonl", b'{"x": 1, "y": 1}\n{"x": 2, "y": null}'), purpose="fine-tune")


class Full(ArtifactStore):
    """A disk that has room for the file as it came, and not for what is read of it."""

    def put(self, job_id: str, name: str, content: bytes | Writer) -> Artifact:
        if name == CONTENT:
            return super().put(job_id, name, content)

        def fail(file: BinaryIO) -> None:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

        return super().put(job_id, name, fail)


def test_a_full_disk_is_a_507_and_keeps_nothing(tmp_path):
    def change(app: FastAPI) -> None:
        services: Services = app.state.services
        files = FileStore(services.database, Full(services.shared.artifacts_url))
        app.state.services = replace(services, files=files)

    with serving(tmp_path, change=change) as served:
        refused = upload(served, DIGITS)
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "insufficient_storage")
        assert (stored(served), served.http.get(FILES).json()["data"]) == ([], [])


def test_files_count_in_the_quota_of_bytes_as_they_are_stored(tmp_path):
    zeros = npz(x=np.zeros((10_000, 8), "f4"), y=np.zeros(10_000, "u1"))
    with serving(tmp_path, AppSettings(quota_bytes=400_000)) as served:
        first = uploaded(served, zeros)
        assert served.services.store.usage().file_bytes > 330_000
        full = upload(served, zeros)
        assert (full.status_code, full.json()["error"]["code"]) == (429, "quota_bytes_reached")
        assert len(stored(served)) == 1
        served.http.delete(f"{FILES}/{first}")
        assert served.services.store.usage().file_bytes == 0
        assert upload(served, zeros).status_code == 201


def test_jobs_count_in_the_quota_with_what_they_were_sent(tmp_path):
    rows = {"x": [[0.5] * 64] * 100, "y": [1] * 100}
    with serving(tmp_path, AppSettings(quota_bytes=20_000)) as served:
        served.submit(data=rows)
        assert served.services.store.usage().job_bytes > 100 * 64 * 3
        assert served.http.post(JOBS, json=SPEC).json()["error"]["code"] == "quota_bytes_reached"
        assert upload(served, DIGITS).json()["error"]["code"] == "quota_bytes_reached"


def test_what_unpacks_a_thousandfold_is_refused(served: Served):
    response = upload(served, npz(x=np.zeros((2_500_000, 8), "f4"), y=np.zeros(2_500_000, "u1")))
    assert (response.status_code, response.json()["error"]["code"]) == (422, "resource_limit")
    assert stored(served) == []


def test_another_tenants_file_is_not_there(served: Served):
    file_id = uploaded(served)
    other = served.services.files.of("other")
    for look in (other.get, other.open, other.delete):
        with pytest.raises(JobNotFound):
            look(file_id)
    assert other.page().data == ()
    assert Uploads(other).read(file_id) is None
    with pytest.raises(JobNotFound):
        served.services.store.of("other").create({**SPEC, "data": {"file": file_id}}, total_steps=1, epochs=1)


def test_what_was_damaged_on_the_disk_is_not_trained_on(served: Served):
    file_id = uploaded(served)
    lying = served.services.shared.data_dir / "artifacts" / file_id / "arrays.safetensors"
    lying.write_bytes(lying.read_bytes()[:-1] + b"\x00")
    refused = served.http.post(JOBS, json={**SPEC, "data": {"file": file_id}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "file_damaged")
