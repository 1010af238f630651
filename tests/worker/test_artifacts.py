"""Files are there whole or not at all, in a folder or at another fsspec URL."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import fsspec
import pytest

from worker.jobs.artifacts import ArtifactStore
from worker.jobs.errors import JobNotFound

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["file", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        return ArtifactStore("memory://artifacts")
    return ArtifactStore(f"file://{tmp_path / 'a folder'}")


def test_a_file_comes_back(files: ArtifactStore):
    made = files.put("job-1", "model.safetensors", CONTENT)
    assert (made.name, made.sha256, made.size) == ("model.safetensors", DIGEST, 7)
    assert made.path == "job-1/model.safetensors"
    with files.open("job-1", "model.safetensors") as file:
        assert file.read() == CONTENT
        file.seek(3)
        assert file.read(2) == b"gh"


def test_a_name_may_hold_the_digest(files: ArtifactStore):
    made = files.put("job-1", "checkpoints/000001-{sha256}.safetensors", lambda file: file.write(CONTENT))
    assert made.name == f"checkpoints/000001-{DIGEST}.safetensors"
    assert files.names("job-1", "checkpoints") == (made.name,)


def test_a_new_file_takes_the_place_of_the_old(files: ArtifactStore):
    files.put("job-1", "report.json", b"old and longer")
    files.put("job-1", "report.json", b"new")
    with files.open("job-1", "report.json") as file:
        assert file.read() == b"new"


def test_a_write_that_fails_leaves_what_was(files: ArtifactStore):
    files.put("job-1", "checkpoints/one", CONTENT)

    def fail(file: BinaryIO) -> None:
        file.write(b"half of")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.put("job-1", "checkpoints/one", fail)
    with files.open("job-1", "checkpoints/one") as file:
        assert file.read() == CONTENT
    assert files.names("job-1", "checkpoints") == ("checkpoints/one",)


def test_removing(files: ArtifactStore):
    files.put("job-1", "checkpoints/one", CONTENT)
    files.put("job-2", "checkpoints/one", CONTENT)
    files.remove("job-1", "checkpoints/one")
    files.remove("job-1", "checkpoints/one")
    assert files.names("job-1", "checkpoints") == ()
    files.delete("job-2")
    files.delete("job-2")
    with pytest.raises(JobNotFound, match="job-2/checkpoints/one"):
        files.open("job-2", "checkpoints/one")


def test_leftovers_of_a_killed_write_are_swept_when_they_are_old(tmp_path: Path):
    files = ArtifactStore(f"file://{tmp_path}")
    files.put("job-1", "checkpoints/one", CONTENT)
    old, fresh = (tmp_path / "job-1" / "checkpoints" / f".part-{age}" for age in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (1.0, 1.0))
    files.sweep("job-1")
    assert (old.exists(), fresh.exists()) == (False, True)
    assert files.names("job-1", "checkpoints") == ("checkpoints/one",)


def test_a_folder_that_is_not_there_is_empty(files: ArtifactStore):
    assert files.names("job-9", "checkpoints") == ()


@pytest.mark.parametrize("name", ["../job-2/x", "/etc/passwd", "a/../../b", ".hidden", "a/b/c", "a\x00b", "..", ""])
def test_names_cannot_lead_elsewhere(files: ArtifactStore, name: str):
    with pytest.raises(JobNotFound):
        files.open("job-1", name or "/")
    with pytest.raises(JobNotFound):
        files.open(name or "..", "x")
