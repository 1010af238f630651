"""Where a check gets uploaded files from: a port, and what stands at it where there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from worker.specs.errors import FieldError, SpecError, pointer_to
from worker.specs.files.columns import choose
from worker.specs.files.content import Content
from worker.specs.job import FileData
from worker.specs.samples import Samples


@dataclass(frozen=True)
class Source:
    """An uploaded file, read.

    Attributes:
        sha256: of the content that was uploaded.
        content: its arrays.
    """

    sha256: str
    content: Content


class Sources(Protocol):
    """Uploaded files by id."""

    def read(self, file_id: str) -> Source | None:
        """Return a file, or None if the caller has none of that id."""


class Remembered:
    """Sources of which the file asked for last is kept: the jobs of a sweep are usually all trained on one.

    Args:
        sources: where files come from.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._last: tuple[str, Source | None] = ("", None)

    def read(self, file_id: str) -> Source | None:
        """Return a file, or None if the caller has none of that id."""
        if self._last[0] != file_id:
            self._last = ("", None)  # two large files are not held at once
            self._last = (file_id, self._sources.read(file_id))
        return self._last[1]


class NoFiles:
    """For checks that know no files."""

    def read(self, file_id: str) -> Source | None:  # noqa: ARG002  # the port has it
        """There is none."""
        return None


NO_FILES = NoFiles()


def read_file(data: FileData, sources: Sources) -> Samples:
    """Return the samples of a job whose data is a file.

    Raises:
        SpecError: there is no such file, it is another than the job was made for, or lacks what the job names.
    """
    source = sources.read(data.file)
    if source is None:
        text = f"There is no file {data.file[:80]!r}; GET /v1/files lists those there are."
        raise SpecError([FieldError("file_not_found", "ValueError", text, pointer_to(("data", "file")))])
    if data.sha256 is not None and data.sha256 != source.sha256:
        text = f"The file has the sha256 {source.sha256}, the job was made for {data.sha256[:80]!r}."
        raise SpecError([FieldError("file_changed", "ValueError", text, pointer_to(("data", "sha256")))])
    return choose(source.content, data.x, data.y, data.sample_weight)
