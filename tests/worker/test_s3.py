"""Artifacts on an S3 that speaks HTTP: the same promises as in a folder."""

import hashlib
import io
import os
from collections.abc import Iterator

import boto3
import numpy as np
import pytest
import sqlalchemy as sa
from fsspec.config import conf, set_conf_env
from moto.server import ThreadedMotoServer

from worker.jobs import database
from worker.jobs.artifacts import ArtifactStore
from worker.jobs.errors import JobNotFound
from worker.jobs.files import FileStore
from worker.settings import Limits
from worker.specs.uploads import Uploads, take

ENV = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    before = dict(os.environ)
    os.environ.update(ENV)
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket="halfstep")
    set_conf_env(conf, {"FSSPEC_S3_ENDPOINT_URL": url})
    try:
        yield "s3://halfstep/artifacts"
    finally:
        conf.pop("s3", None)
        os.environ.clear()
        os.environ.update(before)
        server.stop()


def test_files_come_back_whole_and_in_parts(s3: str):
    files = ArtifactStore(s3)
    content = os.urandom(300_000)
    made = files.put("job-1", "checkpoints/000001-{sha256}.safetensors", content)
    assert made.sha256 == hashlib.sha256(content).hexdigest()
    assert files.names("job-1", "checkpoints") == (made.name,)
    with files.open("job-1", made.name) as file:
        file.seek(100_000)
        assert file.read(1000) == content[100_000:101_000]
    files.delete("job-1")
    files.delete("job-1")
    assert files.names("job-1", "checkpoints") == ()
    with pytest.raises(JobNotFound):
        files.open("job-1", made.name)


def test_a_write_that_fails_is_never_seen(s3: str):
    files = ArtifactStore(s3)

    def fail(file) -> None:
        file.write(b"half of")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.put("job-2", "checkpoints/one", fail)
    assert files.names("job-2", "checkpoints") == ()


def test_a_replaced_file_is_read_anew(s3: str):
    files = ArtifactStore(s3)
    files.put("job-3", "report.json", b"old and longer")
    files.put("job-3", "report.json", b"new")
    with files.open("job-3", "report.json") as file:
        assert file.read() == b"new"


def test_an_uploaded_file_lies_there_too(s3: str, sqlite_url: str):
    database.migrate(sqlite_url)
    engine: sa.Engine = database.create(sqlite_url)
    store = FileStore(engine, ArtifactStore(s3))
    content = io.BytesIO()
    np.savez(content, x=np.eye(3), y=np.arange(3))
    file = take(store, content, "eye.npz", "training", Limits())
    source = Uploads(store).read(file.id)
    assert source is not None
    np.testing.assert_array_equal(source.content.arrays["x"], np.eye(3))
    store.delete(file.id)
    assert Uploads(store).read(file.id) is None
    engine.dispose()
