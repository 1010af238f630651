"""The shape of a webhook: whom to tell of what, and with which secret to sign. The secret is never echoed."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainValidator, StringConstraints, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from worker.specs.bounds import AtMost
from worker.specs.shape import Number, Spec, Text

EndEvent: TypeAlias = Literal["job.succeeded", "job.failed", "job.cancelled"]
ENDS: tuple[EndEvent, ...] = ("job.succeeded", "job.failed", "job.cancelled")
_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
"""Bytes of a secret, as Standard Webhooks has it."""


def _secret(value: object) -> str:
    if not isinstance(value, str) or not value.startswith(_PREFIX) or len(value) > 128:
        raise PydanticCustomError("webhook_secret", "secret")
    try:
        key = base64.b64decode(value.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise PydanticCustomError("webhook_secret", "secret") from None
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise PydanticCustomError("webhook_secret", "secret")
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or not value.isascii() or not value.isprintable() or " " in value:
        raise PydanticCustomError("webhook_url", "url")
    return value


Secret = Annotated[
    str,
    PlainValidator(_secret),
    WithJsonSchema({"type": "string", "pattern": "^whsec_[A-Za-z0-9+/]{32,88}={0,2}$", "writeOnly": True}),
]
Url = Annotated[
    Text,
    StringConstraints(max_length=2000),
    AfterValidator(_url),
    Field(examples=["https://example.org/halfstep"], json_schema_extra={"format": "uri"}),
]


class Condition(Spec):
    """A number of a training step that goes below or above a bound."""

    metric: Annotated[Text, StringConstraints(min_length=1, max_length=64)] = Field(
        description="A column of the job's metrics (`loss_scale`, `loss`, `grad_norm`, ...), or `skipped_steps`.",
        examples=["loss_scale"],
    )
    below: Number | None = None
    above: Number | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Condition:
        if self.below is None and self.above is None:
            raise PydanticCustomError("no_bound", "bound")
        return self


class WebhookSpec(Spec):
    """Whom to tell of what."""

    url: Url = Field(description="Gets a POST, signed as Standard Webhooks; an address that is not public is refused.")
    secret: Secret = Field(repr=False, description="`whsec_` and 24 to 64 bytes in base64; it is never told again.")
    events: Annotated[tuple[EndEvent, ...], AtMost(3)] | None = Field(
        default=None, description="Ends of a job to be told of; all of them, or with `when` none, unless said."
    )
    when: Condition | None = Field(default=None, description="Tell too, once a job, as soon as this is true of a step.")

    @property
    def ends(self) -> tuple[str, ...]:
        """The ends to be told of."""
        if self.events is not None:
            return self.events
        return ENDS if self.when is None else ()
