"""Files that jobs left: listed, and downloaded whole or in part."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Header, Response
from starlette.responses import StreamingResponse

from app.answers import ArtifactAnswer, ListAnswer
from app.deps import JobId, ServicesDep
from app.errors import Refused
from app.problems import Problem, declared
from worker.jobs.errors import JobNotFound
from worker.jobs.records import Artifact

router = APIRouter(prefix="/v1/training/jobs", tags=["artifacts"])

CHUNK_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_MEDIA_TYPES = {".json": "application/json", ".safetensors": "application/octet-stream"}
_WHOLE = {"description": "The file.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
_PART = {**_WHOLE, "description": "The part of the file that was asked for."}
_UNCHANGED = {"description": "The caller has this very file (If-None-Match)."}


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


@router.get("/{job_id}/artifacts", responses=declared(404, 422, 503))
def list_artifacts(job_id: JobId, services: ServicesDep) -> ListAnswer[ArtifactAnswer]:
    """List the files that a job left so far."""
    services.store.get(job_id)
    data = [ArtifactAnswer.of(job_id, artifact) for artifact in services.store.artifacts(job_id)]
    return ListAnswer[ArtifactAnswer].of(data, "name")


@router.head("/{job_id}/artifacts/{name}", include_in_schema=False)
@router.get(
    "/{job_id}/artifacts/{name}",
    response_class=Response,
    responses={200: _WHOLE, 206: _PART, 304: _UNCHANGED, **declared(404, 416, 422, 503)},
)
def download_artifact(  # FastAPI's way to name what a request carries
    job_id: JobId,
    name: str,
    services: ServicesDep,
    range_: Annotated[str, Header(alias="Range")] = "",
    if_range: Annotated[str, Header()] = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Send a file, or the one range of it that was asked for; its SHA-256 is its ETag and its Repr-Digest."""
    artifact = _find(services.store.artifacts(job_id), job_id, name)
    etag = f'"{artifact.sha256}"'
    headers = _headers(artifact, etag)
    if etag in if_none_match.replace("W/", "").split(", ") or if_none_match == "*":
        return Response(status_code=304, headers=headers)
    asked = range_ if if_range in ("", etag) else ""
    span = _span(asked, artifact.size)
    whole = Span(0, artifact.size, artifact.size)
    file = services.artifacts.open(job_id, name)
    stop = (span or whole).stop - (span or whole).start
    return StreamingResponse(
        _chunks(file, span or whole),
        status_code=206 if span else 200,
        headers={**headers, **(span.headers if span else {}), "Content-Length": str(stop)},
        media_type=_MEDIA_TYPES.get(name[name.rfind(".") :], "application/octet-stream"),
    )


def _find(artifacts: tuple[Artifact, ...], job_id: str, name: str) -> Artifact:
    for artifact in artifacts:
        if artifact.name == name:
            return artifact
    raise JobNotFound(f"{job_id}/artifacts/{name}")


def _headers(artifact: Artifact, etag: str) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
    return {
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{digest}:",
        "Digest": f"sha-256={digest}",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Disposition": f'attachment; filename="{artifact.name}"',
        "X-Content-Type-Options": "nosniff",
    }


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
