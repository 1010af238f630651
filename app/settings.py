"""What the HTTP process can be told from outside: environment variables, read once, by the factory."""

from __future__ import annotations

import os
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _split(value: Any) -> Any:
    """A list in a variable is written with commas."""
    return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value


def _no_star(value: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in value:
        raise ValueError("name the sites; * would let every web page in")
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for text in value:
        ip_network(text, strict=False)
    return value


def _processes() -> int:
    """Return how many processes check at the same time unless a setting tells otherwise."""
    return min(max(2, (os.cpu_count() or 1) + 1), 5)


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class AppSettings(BaseSettings):
    """Settings of the HTTP process (`HALFSTEP_HOST`, `HALFSTEP_PORT`, ...).

    What both processes must agree on (database, broker, artifacts, limits of a job) is in `worker.settings`.
    """

    model_config = SettingsConfigDict(env_prefix="HALFSTEP_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    listen_fd: int | None = Field(default=None, description="A listening socket that was inherited, instead of both.")
    trusted_proxies: Annotated[Names, AfterValidator(_networks)] = Field(
        default=(),
        description="Addresses or networks (CIDR) of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    )
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path under which a proxy shows the service, and which it removes: /halfstep.",
    )
    auth: Literal["off", "required"] = Field(
        default="off", description="Whether callers need an API key; off is for addresses of loopback only."
    )
    allowed_hosts: Names = Field(
        default=(), description="Further names that a Host header may say; none, with keys: any name."
    )
    cors_origins: Annotated[Names, AfterValidator(_no_star)] = Field(
        default=(), description="Sites (https://name) whose pages may use the API from a browser."
    )
    rate_per_key: int | None = Field(
        default=None, ge=0, description="Requests a minute of one API key; 0: any number; unset: 600 with keys."
    )
    rate_per_tenant: int | None = Field(
        default=None, ge=0, description="Requests a minute of all keys of a tenant; 0: any number; unset: 1200."
    )
    rate_of_failures: int = Field(
        default=30, ge=0, description="Requests a minute without a good key, of one address; 0: any number."
    )
    quota_jobs: int = Field(default=20_000, ge=0, description="Jobs of one tenant that have not ended; 0: any number.")
    quota_bytes: int = Field(
        default=50 * 1024**3,
        ge=0,
        description="Bytes that a tenant's jobs and files may take, checkpoints and results too; 0: any number.",
    )
    max_body_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="A longer request body is refused with 413."
    )
    max_stateless_bytes: int = Field(
        default=2 * 1024 * 1024,
        ge=1024,
        description="A longer body of what is answered without a job (policies, loss scales, optimizers, translate, "
        "inspect) is refused with 413.",
    )
    max_file_bytes: int = Field(
        default=512 * 1024 * 1024, ge=1024, description="A larger uploaded file is refused with 413."
    )
    check_processes: int = Field(
        default_factory=_processes,
        ge=1,
        le=64,
        description="Processes that read and check jobs, sweeps and models at the same time; by default one more than "
        "processors, from 2 to 5. A tenant has all but one of them.",
    )
    check_memory_bytes: int = Field(
        default=3 * 1024**3, ge=512 * 1024**2, description="Most memory (address space) of one of these processes."
    )
    check_seconds: float = Field(default=60.0, gt=0, description="Longest time that one check may take.")
    max_simulated_steps: int = Field(
        default=100_000, ge=1, description="A longer simulation of a loss scale is refused with 422."
    )
    max_simulated_gradients: int = Field(
        default=500_000, ge=1, description="One with more numbers in all its steps is refused with 422."
    )
    log_answers: Literal["notable", "all"] = Field(
        default="notable",
        description="Answers that get a line of the log: what changes something, is refused or slow; or all.",
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
    predict_rows: int = Field(default=1000, ge=1, description="Most samples of one prediction.")
    predict_values: int = Field(default=2_000_000, ge=1, description="Most numbers of one prediction's inputs.")
    predict_seconds: float = Field(default=30.0, gt=0, description="Longest time that one prediction may take.")
    predict_memory_bytes: int = Field(default=2 * 1024**3, ge=1, description="Most memory of one prediction's process.")
    predict_at_once: int = Field(default=2, ge=1, description="Predictions that may run at the same time.")
    ready_seconds: float = Field(default=2.0, gt=0, description="Longest wait of /readyz for one of its answers.")
