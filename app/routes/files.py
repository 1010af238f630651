"""Files of training data: uploaded, listed, read back, deleted; in the shapes of OpenAI's files."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from app import uploads
from app.answers import Answer, ListAnswer
from app.deps import Services, ServicesDep
from app.downloads import ANSWERS, Download, WantedDep, answered
from app.problems import declared
from app.query_route import QueryRoute
from app.quotas import require_bytes
from app.thread_pools import in_writes
from app.uploads import Upload, received
from worker.jobs.errors import JobNotFound
from worker.jobs.records import StoredFile
from worker.specs.uploads import take

router = APIRouter(prefix="/v1/files", tags=["files"], route_class=QueryRoute)

_FILE_ID = re.compile(r"file-[A-Za-z0-9_-]{1,80}")


def _require_id(text: str) -> str:
    """Any other text is no file's id, whatever the database would say to it."""
    if not _FILE_ID.fullmatch(text):
        raise JobNotFound(text)
    return text


async def _file_id(
    file_id: Annotated[str, Path(description="Id of a file.", examples=["file-0123456789abcdef"])],
) -> str:
    return _require_id(file_id)


FileId = Annotated[str, Depends(_file_id)]


class FileAnswer(Answer):
    """An uploaded file: OpenAI's members, and what was understood of the content."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    status_details: str | None = None
    sha256: str
    format: str
    rows: int | None
    columns: list[str] | None
    arrays: list[dict[str, Any]]
    unusable: list[str]
    label: str | None = Field(default=None, description="Column that is taken as labels where a job names none.")
    label_assumed: bool = Field(default=False, description="Whether it is only the last one, not one so named.")

    @classmethod
    def of(cls, file: StoredFile) -> FileAnswer:
        """Return the answer for a file."""
        return cls(
            id=file.id,
            bytes=file.size,
            created_at=int(file.created_at),
            filename=file.filename,
            purpose=file.purpose,
            sha256=file.sha256,
            **file.described,
        )


class FileDeletedAnswer(Answer):
    """A file is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


@router.post(
    "",
    status_code=201,
    response_model=FileAnswer,
    responses=declared(400, 413, 415, 422, 503, 507),
    openapi_extra=uploads.SCHEMA,
)
async def create_file(request: Request, services: ServicesDep, response: Response) -> FileAnswer:
    """Take a file of training data, if every row of it can be used."""
    async with received(request, services.settings.max_file_bytes) as upload:
        file = await services.pools.work.run(services.tenant, _take, services, upload)
    response.headers["Location"] = f"{services.settings.root_path}{router.prefix}/{file.id}"
    return FileAnswer.of(file)


def _take(services: Services, upload: Upload) -> StoredFile:
    try:
        require_bytes(services, 0)  # before anything is read
        allow = partial(require_bytes, services)
        return take(services.files, upload.file, upload.filename, upload.purpose, services.shared.limits, allow)
    except OSError as error:
        raise uploads.full() if uploads.is_full(error) else error from error


@router.get("", responses=declared(404, 422, 503))
def list_files(
    services: ServicesDep,
    after: Annotated[str | None, Query(description="Id of the last file of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="By time of creation.")] = "desc",
    purpose: Annotated[str, Query(description="Only files of this purpose.")] = "",
) -> ListAnswer[FileAnswer]:
    """List files, newest first; the purpose is applied before paging."""
    if after is not None:
        _require_id(after)
    page = services.files.page(after=after, limit=limit, order=order, purpose=purpose)
    return ListAnswer[FileAnswer].of(list(map(FileAnswer.of, page.data)), "id", has_more=page.has_more)


@router.get("/{file_id}", responses=declared(404, 422, 503))
def get_file(file_id: FileId, services: ServicesDep) -> FileAnswer:
    """Tell everything about one file."""
    return FileAnswer.of(services.files.get(file_id))


@router.head("/{file_id}/content", include_in_schema=False)
@router.get("/{file_id}/content", response_class=Response, responses={**ANSWERS, **declared(404, 416, 422, 503)})
def download_file(file_id: FileId, services: ServicesDep, wanted: WantedDep) -> Response:
    """Send a file as it was uploaded, or the one range of it that was asked for."""
    file = services.files.get(file_id)
    return answered(Download(file.filename, file.sha256, file.size, partial(services.files.open, file_id)), wanted)


@router.delete("/{file_id}", responses=declared(404, 409, 422, 503))
@in_writes
def delete_file(file_id: FileId, services: ServicesDep) -> FileDeletedAnswer:
    """Delete a file, unless a job that may still run is trained on it; a repeated call changes nothing."""
    services.files.delete(file_id)
    return FileDeletedAnswer(id=file_id)
