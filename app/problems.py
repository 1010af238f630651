"""What an error looks like on the wire: problem+json (RFC 9457), with the `error` member that OpenAI clients read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from app.finite_json import FiniteJSONResponse
from worker.specs.errors import FieldError

PROBLEM_MEDIA_TYPE = "application/problem+json"
NO_RETRY = {"x-should-retry": "false"}
"""On a 409: clients made for OpenAI retry a conflict on their own, and ours will not go away by waiting."""


@dataclass(frozen=True)
class Problem:
    """One refusal, before it knows which request it answers.

    Attributes:
        status: HTTP status code.
        code: stable snake_case name for programs.
        detail: what was received, what is accepted, what to do.
        errors: the single faults, each with a JSON pointer into the request body.
        headers: further response headers.
    """

    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the members of the problem document."""
        return {
            "type": f"urn:halfstep:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "errors": [asdict(error) for error in self.errors],
            "request_id": request_id,
            "error": {
                "message": self.detail,
                "type": "server_error" if self.status >= 500 else "invalid_request_error",
                "param": _param(self.errors[0].pointer) if self.errors else None,
                "code": self.code,
            },
        }

    def response(self, request: Request, **members: Any) -> FiniteJSONResponse:
        """Return the answer to `request`, with further `members` in its document."""
        request_id = getattr(request.state, "request_id", "")
        return FiniteJSONResponse(
            {**self.body(request_id), **members},
            status_code=self.status,
            headers={**self.headers, "X-Request-ID": request_id},
            media_type=PROBLEM_MEDIA_TYPE,
        )


def _param(pointer: str) -> str | None:
    """`/fit/batch_size` as OpenAI writes it, `fit.batch_size`; the whole body is None."""
    return ".".join(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]) or None


class FieldErrorShape(BaseModel):
    """One fault in a request."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(description="Stable snake_case name for programs.")
    type: str = Field(description="The Python error class that Keras raises.")
    message: str = Field(description="What was received, what is accepted.")
    pointer: str = Field(description="JSON pointer into the request body; empty for the whole of it.")


class ErrorMember(BaseModel):
    """The same error for clients made for OpenAI's API."""

    message: str
    type: str
    param: str | None
    code: str


class ProblemShape(BaseModel):
    """Problem details (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldErrorShape]
    request_id: str
    error: ErrorMember


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that can answer with these problems, for the OpenAPI document."""
    schema = {"schema": {"$ref": f"#/components/schemas/{ProblemShape.__name__}"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM_MEDIA_TYPE: schema}}
        for status in statuses
    }
