"""A stored file as an answer: whole, in part (RFC 9110 ranges), or not at all because the caller has it."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import Depends, Header, Response
from starlette.responses import StreamingResponse

from app.errors import Refused
from app.problems import Problem

CHUNK_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+")
_MEDIA_TYPES = {".json": "application/json"}
_WHOLE = {"description": "The file.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
_PART = {**_WHOLE, "description": "The part of the file that was asked for."}
_UNCHANGED = {"description": "The caller has this very file (If-None-Match)."}
ANSWERS: dict[int | str, dict[str, Any]] = {200: _WHOLE, 206: _PART, 304: _UNCHANGED}
"""What a download answers, for the OpenAPI document; 416 and 404 come on top."""


@dataclass(frozen=True)
class Wanted:
    """What the headers of a request say of the part that is wanted."""

    range: str
    if_range: str
    if_none_match: str


async def _wanted(
    range_: Annotated[str, Header(alias="Range")] = "",
    if_range: Annotated[str, Header()] = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Wanted:
    return Wanted(range_, if_range, if_none_match)


WantedDep = Annotated[Wanted, Depends(_wanted)]


@dataclass(frozen=True)
class Download:
    """A stored file.

    Attributes:
        name: what the caller's copy is called.
        sha256: of the content: its ETag and its Repr-Digest.
        size: bytes.
        open: opens the content; called only if it is sent.
    """

    name: str
    sha256: str
    size: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `stop` (exclusive) of a file of `size` bytes."""

    start: int
    stop: int
    size: int

    @property
    def headers(self) -> dict[str, str]:
        """The header that says which part this is."""
        return {"Content-Range": f"bytes {self.start}-{self.stop - 1}/{self.size}"}


def answered(download: Download, wanted: Wanted) -> Response:
    """Return the file, or the one range of it that was asked for.

    Raises:
        Refused: 416, the range lies outside the file.
    """
    etag = f'"{download.sha256}"'
    headers = _headers(download, etag)
    if etag in wanted.if_none_match.replace("W/", "").split(", ") or wanted.if_none_match == "*":
        return Response(status_code=304, headers=headers)
    asked = wanted.range if wanted.if_range in ("", etag) else ""
    span = _span(asked, download.size)
    whole = Span(0, download.size, download.size)
    length = (span or whole).stop - (span or whole).start
    return StreamingResponse(
        _chunks(download.open(), span or whole),
        status_code=206 if span else 200,
        headers={**headers, **(span.headers if span else {}), "Content-Length": str(length)},
        media_type=_MEDIA_TYPES.get(download.name[download.name.rfind(".") :], "application/octet-stream"),
    )


def _headers(download: Download, etag: str) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(download.sha256)).decode()
    return {
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{digest}:",
        "Digest": f"sha-256={digest}",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": _disposition(download.name),
        "X-Content-Type-Options": "nosniff",
    }


def _disposition(name: str) -> str:
    """Return the header that names the file; what a quoted string cannot hold is percent-encoded (RFC 6266)."""
    if _PLAIN_NAME.fullmatch(name):
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


def _span(header: str, size: int) -> Span | None:
    """Return the range that is asked for; None (the whole) if none is, or one we do not offer, as RFC 9110 allows.

    Raises:
        Refused: 416, the range lies outside the file.
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start, stop = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
    else:
        start, stop = max(size - int(match[2]), 0), size
    if match[1] and match[2] and int(match[1]) > int(match[2]):
        return None
    if start >= stop:
        text = f"The range {header!r} lies outside the file, which has {size} bytes."
        raise Refused(Problem(416, "range_not_satisfiable", text, headers={"Content-Range": f"bytes */{size}"}))
    return Span(start, stop, size)


def _chunks(file: BinaryIO, span: Span) -> Iterator[bytes]:
    with file:
        file.seek(span.start)
        left = span.stop - span.start
        while left and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
