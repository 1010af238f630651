"""JSON that every client can read: NaN and infinity, which JSON has no words for, become null and are named beside."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


def dumps(content: Any) -> str:
    """Return compact JSON of `content`, free of bare NaN and Infinity.

    An object that held such numbers gets a member `nonfinite` that names them: `{"loss": null, "nonfinite":
    {"loss": "nan"}}`.
    """
    try:
        return _encode(content)
    except ValueError:
        return _encode(_finite(content))


def encoded(answer: BaseModel) -> bytes:
    """Return what `dumps` returns of a model, as UTF-8, and sooner where all its numbers are finite."""
    text = answer.__pydantic_serializer__.to_json(answer, by_alias=True)
    if b"NaN" not in text and b"Infinity" not in text:  # the names of such numbers, or a text that tells of them
        return text
    return dumps(answer.model_dump(mode="json", by_alias=True)).encode()


def _encode(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _nonfinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        lost = {key: str(item) for key, item in value.items() if _nonfinite(item)}
        kept = {key: _finite(item) for key, item in value.items()}
        return {**kept, "nonfinite": lost} if lost else kept
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if _nonfinite(value) else value


class ModelResponse(Response):
    """A model as an answer, written in one pass: FastAPI would make objects of it, check these and write them."""

    media_type = "application/json"

    def __init__(self, answer: BaseModel, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(encoded(answer), status_code, headers)


class FiniteJSONResponse(JSONResponse):
    """A JSON response without bare NaN."""

    def render(self, content: Any) -> bytes:
        """Encode `content` as UTF-8."""
        return dumps(content).encode()


class BodyNotJson(HTTPException):
    """The request body could not be read as JSON; `detail` says where it went wrong.

    An HTTPException, because FastAPI lets only those through from the reading of a body.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(400, detail)


def parse(body: bytes) -> Any:
    """Return the value of a JSON document.

    Bare NaN and Infinity are read, as Python's clients write them: whoever looks at the numbers then says which of
    them it was. Depth is bounded, and lone surrogates are refused, by the parser.

    Raises:
        BodyNotJson: it is no JSON, not UTF-8, or nested too deep.
    """
    try:
        return from_json(body, allow_inf_nan=True)
    except ValueError as error:
        raise BodyNotJson(f"The body is not JSON: {error}.") from error


class BodyTooLarge(HTTPException):
    """The request body is longer than is accepted here."""

    def __init__(self, limit: int) -> None:
        text = f"The body is longer than the {limit:,} bytes accepted here; upload data as a file and name it."
        super().__init__(413, text)


class BoundedRequest(Request):
    """A request whose body is bounded.

    Args:
        request: the one to be read.
        limit: bytes that its body may have.
    """

    def __init__(self, request: Request, limit: int) -> None:
        super().__init__(request.scope, request.receive)
        self._limit = limit

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes.

        Raises:
            BodyTooLarge: once it is known to be, by its Content-Length or by what came.
        """
        said = self.headers.get("content-length", "")
        left = self._limit
        if said.isdecimal() and int(said) > left:
            raise BodyTooLarge(self._limit)
        async for chunk in super().stream():
            left -= len(chunk)
            if left < 0:
                raise BodyTooLarge(self._limit)
            yield chunk
