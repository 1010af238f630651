"""How a file comes in: a multipart body, bounded, that Starlette spools to a temporary file as it arrives."""

from __future__ import annotations

import errno
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from app.errors import Refused, invalid
from app.problems import Problem
from worker.specs.errors import FieldError

FIELDS = ("file", "purpose")
LONGEST_NAME = 255
_ENVELOPE_BYTES = 64 * 1024
"""What the boundaries, headers and other fields of the body may take beside the file."""
_PURPOSE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": list(FIELDS),
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "Its name ends in .npz, .npy, .safetensors, .csv, .jsonl or .parquet.",
                        },
                        "purpose": {"type": "string", "pattern": f"^{_PURPOSE.pattern}$", "examples": ["fine-tune"]},
                    },
                }
            }
        },
    }
}
"""The body, for the OpenAPI document."""


@dataclass(frozen=True)
class Upload:
    """A file that came, spooled."""

    file: BinaryIO
    filename: str
    purpose: str


class _Bounded(Request):
    """A request whose body ends with a 413 at a limit."""

    def __init__(self, request: Request, limit: int) -> None:
        super().__init__(request.scope, request.receive)
        self._limit = limit

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes.

        Raises:
            Refused: 413, once it is known to be too long, by its Content-Length or by what came.
        """
        left = self._limit + _ENVELOPE_BYTES
        said = self.headers.get("content-length", "")
        if said.isdecimal() and int(said) > left:
            raise too_large(self._limit)
        async for chunk in super().stream():
            left -= len(chunk)
            if left < 0:
                raise too_large(self._limit)
            yield chunk


def too_large(limit: int) -> Refused:
    """Return the 413 of a file above the limit."""
    text = f"The file is larger than the {limit:,} bytes accepted here; send a part of it, or in a denser format."
    return Refused(Problem(413, "file_too_large", text))


def full() -> Refused:
    """Return the 507 of a disk without room."""
    text = "The service has no room left for this file, and kept nothing of it. Delete files, or ask its operator."
    return Refused(Problem(507, "insufficient_storage", text))


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no room."""
    return error.errno in _FULL


@asynccontextmanager
async def received(request: Request, limit: int) -> AsyncIterator[Upload]:
    """Give the file of a multipart body; its spooled copy goes with the block.

    Raises:
        Refused: 400, 413, 415, 422 or 507; what is wrong with the body.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        text = "The body must be multipart/form-data with the fields `file` and `purpose`."
        raise Refused(Problem(415, "unsupported_media_type", text))
    form = await _form(request, limit)
    try:
        yield _upload(form, limit)
    finally:
        await form.close()


async def _form(request: Request, limit: int) -> FormData:
    try:
        return await _Bounded(request, limit).form(max_files=1, max_fields=8, max_part_size=_ENVELOPE_BYTES // 4)
    except Refused:
        raise
    except HTTPException as error:
        raise Refused(Problem(400, "body_not_multipart", f"The body cannot be read: {error.detail}")) from error
    except ClientDisconnect as error:
        raise Refused(Problem(400, "body_incomplete", "The body ended before the file did.")) from error
    except (UnicodeDecodeError, LookupError, ValueError, AssertionError) as error:
        text = f"The body is no multipart/form-data that can be read ({type(error).__name__})."
        raise Refused(Problem(400, "body_not_multipart", text)) from error
    except OSError as error:
        raise full() if is_full(error) else error from error


def _upload(form: FormData, limit: int) -> Upload:
    faults = [_fault(name, f"`{name}` is missing.", "missing") for name in FIELDS if name not in form]
    unknown = [name for name in form if name not in FIELDS]
    faults += [
        _fault(name[:80], f"`{name[:80]}` is not offered; send `file`, `purpose`.", "unsupported") for name in unknown
    ]
    file, purpose = form.get("file"), form.get("purpose")
    if file is not None and not isinstance(file, UploadFile):
        faults.append(_fault("file", "`file` must be a file, with a file name.", "invalid_type"))
    if purpose is not None and not (isinstance(purpose, str) and _PURPOSE.fullmatch(purpose)):
        text = "`purpose` must be a word of a-z, 0-9, - and _, such as fine-tune."
        faults.append(_fault("purpose", text, "invalid_value"))
    if faults or not isinstance(file, UploadFile) or not isinstance(purpose, str):
        raise Refused(invalid(tuple(faults)))
    if (file.size or 0) > limit:
        raise too_large(limit)
    return Upload(file.file, _plain(file.filename or ""), purpose)


def _fault(name: str, text: str, code: str) -> FieldError:
    return FieldError(code, "ValueError", text, f"/{name.encode('utf-8', 'backslashreplace').decode()}")


def _plain(name: str) -> str:
    """Return the last part of a path in whatever spelling, as far as every database and header can carry it."""
    last = name.replace("\\", "/").rpartition("/")[2].encode("utf-8", "replace").decode()
    return _UNSEEN.sub("", last)[-LONGEST_NAME:] or "upload"
