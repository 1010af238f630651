"""What the HTTP process can be told from outside: environment variables, read once, by the factory."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AppSettings(BaseSettings):
    """Settings of the HTTP process (`HALFSTEP_HOST`, `HALFSTEP_PORT`, ...).

    What both processes must agree on (database, broker, artifacts, limits of a job) is in `worker.settings`.
    """

    model_config = SettingsConfigDict(env_prefix="HALFSTEP_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    listen_fd: int | None = Field(default=None, description="A listening socket that was inherited, instead of both.")
    max_body_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="A longer request body is refused with 413."
    )
    max_file_bytes: int = Field(
        default=512 * 1024 * 1024, ge=1024, description="A larger uploaded file is refused with 413."
    )
    sse_heartbeat_seconds: float = Field(
        default=15.0, gt=0, description="Silence on an event stream after which a comment is sent."
    )
    sse_longest_seconds: float = Field(
        default=3600.0, gt=0, description="How long one event stream may last; the listener then comes back."
    )
    sse_poll_seconds: float = Field(
        default=0.2, gt=0, description="How often the event log of a followed job is looked at."
    )
    shutdown_seconds: int = Field(
        default=3, ge=0, description="How long running requests may go on after a stop was asked for."
    )
    ready_seconds: float = Field(default=2.0, gt=0, description="Longest wait of /readyz for one of its answers.")
