"""The store of uploaded files: rows in the database, contents where artifacts lie. A row comes when all is durable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import sqlalchemy as sa

from worker.jobs import database, tenants
from worker.jobs.artifacts import ArtifactStore, Writer
from worker.jobs.errors import FileInUse, JobNotFound
from worker.jobs.records import FilePage, StoredFile
from worker.jobs.states import TERMINAL
from worker.jobs.submitting import new_id
from worker.jobs.tables import file_uses, files, jobs

CONTENT = "content"
"""Name of the file as it was uploaded, among the artifacts of its id."""
ARRAYS = "arrays.safetensors"
"""Name of what jobs read of it."""
PAGE_LIMIT = 100
_NAMED_JOBS = 5


@dataclass(frozen=True)
class NewFile:
    """A file that was read and found good.

    Attributes:
        filename: its name where it came from.
        purpose: the caller's word.
        content: writes the bytes as they came.
        arrays: writes the arrays, as safetensors.
        described: what was understood of it, as JSON.
    """

    filename: str
    purpose: str
    content: Writer
    arrays: Writer
    described: Mapping[str, Any]


class FileStore:
    """Uploaded files on SQLite or PostgreSQL and any artifact store. Safe to share between threads.

    Args:
        engine: from `worker.jobs.database.create`; the schema must be migrated.
        artifacts: where contents lie.
        clock: unix seconds.
        tenant: whose files these are: no other's exist. None is for the service itself, which sees all; what it adds
            belongs to the default tenant.
    """

    def __init__(
        self,
        engine: sa.Engine,
        artifacts: ArtifactStore,
        clock: Callable[[], float] = time.time,
        tenant: str | None = None,
    ) -> None:
        self._engine, self._artifacts, self._clock = engine, artifacts, clock
        self._tenant = tenants.DEFAULT if tenant is None else tenant
        self._mine = () if tenant is None else (files.c.tenant == tenant,)

    def of(self, tenant: str) -> FileStore:
        """The same store as one tenant sees it."""
        return FileStore(self._engine, self._artifacts, self._clock, tenant)

    def _query(self, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """Every look at files begins here: only the caller's, and none that are deleted."""
        return sa.select(*(columns or (files,))).where(*self._mine, files.c.deleted_at.is_(None))

    def add(self, new: NewFile) -> StoredFile:
        """Store a file; all of it is durable when this returns, and nothing of it is left if it raises.

        Raises:
            OSError: there is no room, or the artifact store does not answer.
        """
        file_id = new_id("file")
        try:
            content = self._artifacts.put(file_id, CONTENT, new.content)
            arrays = self._artifacts.put(file_id, ARRAYS, new.arrays)
            values: dict[str, Any] = {
                "id": file_id,
                "tenant": self._tenant,
                "filename": new.filename,
                "purpose": new.purpose,
                "size": content.size,
                "sha256": content.sha256,
                "arrays_sha256": arrays.sha256,
                "stored": content.size + arrays.size,
                "described": dict(new.described),
                "created_at": self._clock(),
            }
            with database.writing(self._engine) as connection:
                connection.execute(sa.insert(files).values(**values))
        except BaseException:
            self._artifacts.delete(file_id)
            raise
        return StoredFile(**values)

    def get(self, file_id: str) -> StoredFile:
        """The file of that id.

        Raises:
            JobNotFound: there is none.
        """
        with database.reading(self._engine) as connection:
            row = connection.execute(self._query().where(files.c.id == file_id)).one_or_none()
        if row is None:
            raise JobNotFound(file_id)
        return _stored(row)

    def page(self, *, after: str | None = None, limit: int = 20, order: str = "desc", purpose: str = "") -> FilePage:
        """Files in order of creation (`desc`: newest first), filtered before they are cut into pages.

        Args:
            after: the id of the last file of the page before.
            limit: 1 to 100.
            order: "asc" or "desc".
            purpose: only files of this one; empty: all.

        Raises:
            JobNotFound: `after` names no file.
            ValueError: limit or order out of range.
        """
        if not 1 <= limit <= PAGE_LIMIT or order not in {"asc", "desc"}:
            raise ValueError(f"Received limit={limit}, order={order!r}; expected 1 to 100, and asc or desc.")
        number, ascending = files.c.number, order == "asc"
        query = self._query().order_by(number if ascending else number.desc()).limit(limit + 1)
        if purpose:
            query = query.where(files.c.purpose == purpose)
        with database.reading(self._engine) as connection:
            if after is not None:
                last = connection.execute(self._query(number).where(files.c.id == after)).scalar_one_or_none()
                if last is None:
                    raise JobNotFound(after)
                query = query.where(number > last if ascending else number < last)
            rows = connection.execute(query).all()
        return FilePage(tuple(map(_stored, rows[:limit])), len(rows) > limit)

    def open(self, file_id: str, name: str = CONTENT) -> BinaryIO:
        """Open the content of a file, or what jobs read of it, for reading; it can be seeked.

        Raises:
            JobNotFound: there is none.
        """
        return self._artifacts.open(self.get(file_id).id, name)

    def delete(self, file_id: str) -> None:
        """Delete a file; once it is deleted, doing so again changes nothing.

        Raises:
            JobNotFound: there never was one.
            FileInUse: jobs that may still run are trained on it.
        """
        with database.writing(self._engine) as connection:
            mine = sa.select(files.c.deleted_at).where(files.c.id == file_id, *self._mine)
            row = connection.execute(mine.with_for_update()).one_or_none()
            if row is None:
                raise JobNotFound(file_id)
            if row.deleted_at is None:
                _check_unused(connection, file_id)
                gone = sa.update(files).where(files.c.id == file_id).values(deleted_at=self._clock())
                connection.execute(gone)
        self._artifacts.delete(file_id)


def _check_unused(connection: sa.Connection, file_id: str) -> None:
    users = sa.select(jobs.c.id).join(file_uses, file_uses.c.job_id == jobs.c.id)
    users = users.where(file_uses.c.file_id == file_id, jobs.c.status.not_in(TERMINAL)).order_by(jobs.c.number)
    ids = connection.execute(users).scalars().all()
    if ids:
        raise FileInUse(file_id, ids[:_NAMED_JOBS], len(ids))


def _stored(row: sa.Row[Any]) -> StoredFile:
    return StoredFile(**{name: getattr(row, name) for name in StoredFile.__dataclass_fields__})


def is_whole(file: BinaryIO, sha256: str) -> bool:
    """Whether a file's content has this SHA-256; the file is at its start afterwards."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # fsspec's files will do
    file.seek(0)
    return digest == sha256
