"""Between uploaded files and jobs: what is taken in, and how a job finds it again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from typing import BinaryIO, cast

from engine import checkpoint
from engine.errors import EngineError
from worker.jobs.errors import JobNotFound
from worker.jobs.files import ARRAYS, FileStore, NewFile, is_whole
from worker.jobs.records import StoredFile
from worker.settings import Limits
from worker.specs.errors import FieldError, SpecError, pointer_to
from worker.specs.files.content import Content, check_unpacked
from worker.specs.files.formats import understand
from worker.specs.sources import Source

_COPY_BYTES = 1 << 20


def _anything(_size: int) -> None:
    return


def take(
    store: FileStore,
    file: BinaryIO,
    filename: str,
    purpose: str,
    limits: Limits,
    allow: Callable[[int], None] = _anything,
) -> StoredFile:
    """Read a file of strangers, and store it with the arrays that jobs will read.

    Args:
        store: of the one who uploads.
        file: can be seeked.
        filename: its end tells the format.
        purpose: the caller's word.
        limits: the most numbers and columns.
        allow: is called with the bytes that it will take before any is stored; may raise.

    Raises:
        Unreadable, BadRows: it is no data to train on, or nothing but a fraction of it is.
        OSError: there is no room for it.
    """
    found = understand(file, filename, limits)
    arrays, record = found.content.packed()
    sent, unpacked = file.seek(0, os.SEEK_END), sum(array.nbytes for array in arrays.values())
    check_unpacked(sent, unpacked)
    allow(sent + unpacked)
    file.seek(0)
    return store.add(
        NewFile(
            filename=filename,
            purpose=purpose,
            content=partial(shutil.copyfileobj, file, length=_COPY_BYTES),
            arrays=lambda target: checkpoint.write(target, arrays, record),
            described={"format": found.format, **found.content.described()},
        )
    )


@dataclass(frozen=True)
class Uploads:
    """The files of a store, as the check of a job asks for them."""

    store: FileStore

    def read(self, file_id: str) -> Source | None:
        """Return a file's arrays, or None if there is none of that id.

        Raises:
            SpecError: what lies there is not what was stored.
        """
        try:
            stored = self.store.get(file_id)
        except JobNotFound:
            return None
        try:
            with self.store.open(file_id, ARRAYS) as file:
                if is_whole(file, stored.arrays_sha256):
                    return Source(stored.sha256, Content.unpacked(*checkpoint.read(cast(BufferedIOBase, file))))
        except (JobNotFound, EngineError):
            return self._damaged(file_id)
        return self._damaged(file_id)

    def _damaged(self, file_id: str) -> Source:
        text = f"What is stored of file {file_id!r} is gone or damaged; upload it again."
        raise SpecError([FieldError("file_damaged", "ValueError", text, pointer_to(("data", "file")))])
