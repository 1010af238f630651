"""The zip archive around a model: written with the same bytes every time, read with an eye on what headers claim."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from engine.errors import InvalidValue
from worker.keras_files.hdf5 import CODE
from worker.zips import DAMAGES

MAX_MEMBERS = 64
MAX_JSON_BYTES = 1 << 24
_EXPANSION = 200
"""Deflated numbers and configs shrink less than this; a member that claims more is a bomb."""
_FREE = 1 << 20
_STEP = 1 << 20
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_OLDEST = (1980, 1, 1, 0, 0, 0)
_READ_BY_OWNER = 0o600 << 16


def add(archive: zipfile.ZipFile, name: str, content: bytes | IO[bytes]) -> None:
    """Add a member that bears no date and no trace of who wrote it."""
    member = zipfile.ZipInfo(name, date_time=_OLDEST)
    member.create_system, member.external_attr = 3, _READ_BY_OWNER
    if isinstance(content, bytes):
        archive.writestr(member, content)
        return
    member.file_size = content.seek(0, 2)
    content.seek(0)
    with archive.open(member, "w", force_zip64=member.file_size >= zipfile.ZIP64_LIMIT) as target:
        shutil.copyfileobj(content, target, _STEP)


class Archive:
    """A zip archive open for reading.

    Args:
        file: can be seeked.

    Raises:
        InvalidValue: no zip archive, or one whose headers claim what no model has.
    """

    def __init__(self, file: IO[bytes]) -> None:
        with _told("is no zip archive"):
            self._archive = zipfile.ZipFile(file)
        members = self._archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise InvalidValue(f"The archive has {len(members)} members; a model has three.", code=CODE)
        self._members = {member.filename: member for member in members}
        if len(self._members) < len(members):
            raise InvalidValue("The archive has two members of one name.", code=CODE)

    def json(self, name: str) -> dict[str, Any]:
        """Return a member that holds a JSON object.

        Raises:
            InvalidValue: it is not there, too large, or holds something else.
        """
        with self._open(name, MAX_JSON_BYTES) as member, _told(f"has a damaged {name}"):
            text = member.read(MAX_JSON_BYTES)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidValue(f"{name} is no JSON: {error}.", code=CODE) from error
        if not isinstance(value, dict):
            raise InvalidValue(f"{name} must hold a JSON object.", code=CODE)
        return value

    def copy(self, name: str, target: IO[bytes], at_most: int) -> None:
        """Copy a member into a file.

        Raises:
            InvalidValue: it is not there, claims to have more bytes than it may, or is damaged.
        """
        with self._open(name, at_most) as member, _told(f"has a damaged {name}"):
            shutil.copyfileobj(member, target, _STEP)
        target.seek(0)

    @contextmanager
    def _open(self, name: str, at_most: int) -> Iterator[IO[bytes]]:
        member = self._members.get(name)
        if member is None:
            found = ", ".join(sorted(self._members)[:8]) or "nothing"
            raise InvalidValue(f"The archive has no {name}; it holds {found}.", code=CODE)
        if member.file_size > at_most:
            text = f"{name} claims {member.file_size:,} bytes; at most {at_most:,} are taken."
            raise InvalidValue(text, code="too_large")
        if member.file_size > _FREE + _EXPANSION * member.compress_size:
            text = f"{name} claims {member.file_size:,} bytes packed into {member.compress_size:,}: that is no model."
            raise InvalidValue(text, code="too_large")
        if member.compress_type not in _READABLE:
            raise InvalidValue(f"{name} is packed by method {member.compress_type}; use none or deflate.", code=CODE)
        with _told(f"has a damaged {name}"):
            opened = self._archive.open(member)
        with opened:
            yield opened


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Make what zipfile raises for a damaged archive one error."""
    try:
        yield
    except InvalidValue:
        raise
    except DAMAGES as error:
        raise InvalidValue(f"The file {what}: {error}.", code=CODE) from error
