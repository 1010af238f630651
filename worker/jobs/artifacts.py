"""Files of jobs, in a local folder or at any fsspec URL. A file is there whole and durable, or not at all."""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec.core
from botocore.exceptions import BotoCoreError

from worker.jobs.errors import JobNotFound
from worker.jobs.records import Artifact

Unreachable = BotoCoreError
"""What is raised, beside OSError, where files lie on S3 and it does not answer, while reading too."""
Writer = Callable[[BinaryIO], object]
"""Writes a file's content."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_DIGEST = "{sha256}"
_TEMPORARY = ".part-"
_LEFTOVER_SECONDS = 600.0


class _HashingFile:
    """A binary file that knows size and SHA-256 of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class ArtifactStore:
    """Files by job and name. Names have letters, digits, dots and dashes, and at most one folder.

    Args:
        url: `file:///folder` (or a path), or any fsspec URL such as `s3://bucket/folder`.
    """

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._local = "file" in self._protocols()

    def _protocols(self) -> tuple[str, ...]:
        protocol = self._fs.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)

    def path(self, job_id: str, name: str = "") -> str:
        """Where a file (or a job's folder) lies, as the file system calls it.

        Raises:
            JobNotFound: no file can have this name.
        """
        parts = [job_id, name] if name else [job_id]
        if not all(_NAME.fullmatch(part) for part in parts):
            raise JobNotFound("/".join(parts))
        return "/".join([str(self._root).rstrip("/"), *parts])

    def put(self, job_id: str, name: str, content: bytes | Writer) -> Artifact:
        """Store a file, in place of one of the same name; it is durable when this returns.

        Args:
            job_id: whose.
            name: `{sha256}` in it stands for the content's digest.
            content: the bytes, or a function that writes them to a file.
        """
        write: Writer = content if callable(content) else lambda file: file.write(content)
        save = self._put_local if self._local else self._put_remote
        return save(job_id, name, write)

    def _put_local(self, job_id: str, name: str, write: Writer) -> Artifact:
        folder = Path(self.path(job_id, name.replace(_DIGEST, "digest"))).parent
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                made = _written(job_id, name, file, write)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.path(job_id, made.name))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(folder)
        return made

    def _put_remote(self, job_id: str, name: str, write: Writer) -> Artifact:
        # Object stores show an upload only when it is complete, so no temporary name is needed there.
        with tempfile.NamedTemporaryFile() as file:
            made = _written(job_id, name, cast(BinaryIO, file), write)
            file.flush()
            self._fs.makedirs(self.path(job_id, made.name).rpartition("/")[0], exist_ok=True)
            self._fs.put_file(file.name, self.path(job_id, made.name))
        return made

    def open(self, job_id: str, name: str) -> BinaryIO:
        """Open a file for reading; it can be seeked.

        Raises:
            JobNotFound: there is no such file.
        """
        try:
            return cast(BinaryIO, self._fs.open(self.path(job_id, name), "rb"))
        except FileNotFoundError as error:
            raise JobNotFound(f"{job_id}/{name}") from error

    def names(self, job_id: str, folder: str) -> tuple[str, ...]:
        """Names (with the folder) of a job's files in a folder; leftovers of broken writes are not among them."""
        place = self.path(job_id, folder)
        try:
            found: list[Any] = self._fs.ls(place, detail=False, refresh=True)
        except FileNotFoundError:
            return ()
        names = sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)
        return tuple(f"{folder}/{name}" for name in names if not name.startswith(_TEMPORARY))

    def sweep(self, job_id: str) -> None:
        """Delete what broken writes left of a job; what may still be written is left alone."""
        if not self._local:
            return
        long_ago = time.time() - _LEFTOVER_SECONDS
        for path in Path(self.path(job_id)).glob(f"**/{_TEMPORARY}*"):
            if path.stat().st_mtime < long_ago:
                path.unlink(missing_ok=True)

    def remove(self, job_id: str, name: str) -> None:
        """Delete one file; it may be gone already."""
        try:
            self._fs.rm_file(self.path(job_id, name))
        except FileNotFoundError:
            return

    def delete(self, job_id: str) -> None:
        """Delete all files of a job; there may be none."""
        place = self.path(job_id)
        if self._local:
            shutil.rmtree(place, ignore_errors=True)
        elif self._fs.exists(place):
            self._fs.rm(place, recursive=True)


def _written(job_id: str, name: str, file: BinaryIO, write: Writer) -> Artifact:
    hashing = _HashingFile(file)
    write(cast(BinaryIO, hashing))
    final = name.replace(_DIGEST, hashing.sha256)
    return Artifact(final, hashing.sha256, hashing.size, f"{job_id}/{final}")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
