"""Settings that every process of one installation must agree on, read once from `HALFSTEP_*` variables."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Container, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

from fsspec.registry import known_implementations
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

BROKERS = frozenset({"redis", "rediss", "unix", "redis+socket"})
DATABASES = "sqlite:///PATH and postgresql://USER:PASSWORD@HOST/NAME"


class Limits(BaseModel):
    """What one job may ask for; a job above any of these is refused before it is queued.

    Each is a variable of its own: `HALFSTEP_LIMITS__MAX_STEPS=1000`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_parameters: int = Field(default=30_000_000, gt=0, description="trainable and other variables, in values")
    max_layers: int = Field(default=1024, gt=0, le=4096, description="layers of one model")
    max_calls: int = Field(
        default=2048, gt=0, description="calls of layers in one model, those of models in it at each of their calls"
    )
    max_steps: int = Field(default=1_000_000, gt=0, description="training steps of one job")
    max_epochs: int = Field(default=100_000, gt=0, description="epochs of one job")
    max_batch_size: int = Field(default=65_536, gt=0, description="samples of one step")
    max_activation_values: int = Field(
        default=200_000_000, gt=0, description="values of all layer outputs of one step together"
    )
    max_step_multiply_adds: int = Field(
        default=200_000_000_000, gt=0, description="multiply-adds of one step, forwards; a call counts as a million"
    )
    max_validation_multiply_adds: int = Field(
        default=1_000_000_000_000, gt=0, description="multiply-adds of one pass over the validation rows, likewise"
    )
    spec_bytes: int = Field(
        default=2 * 1024**2, gt=0, description="bytes of a job as JSON, without the data inside it: lists show it"
    )
    saved_models: int = Field(default=100, gt=0, description="files that one ModelCheckpoint of a job may leave")
    sweep_jobs: int = Field(default=64, gt=0, description="jobs of one sweep")
    inline_rows: int = Field(default=20_000, gt=0, description="samples of data sent inside the job")
    inline_values: int = Field(default=5_000_000, gt=0, description="numbers of data sent inside the job")
    file_values: int = Field(default=50_000_000, gt=0, description="numbers in one file of training data")
    file_columns: int = Field(default=10_000, gt=0, description="columns or arrays in one file")


_SOCKET_BYTES = 100
"""Longest path of a Unix socket that every system takes (Linux 107, macOS 103)."""


def embedded_socket(data_dir: Path) -> Path:
    """Where the embedded broker of a data folder listens: in the folder, or in a short one if its path is too long."""
    folder = data_dir.resolve() / "broker"
    socket = folder / "broker.sock"
    if len(os.fsencode(socket)) <= _SOCKET_BYTES:
        return socket
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"halfstep-{os.geteuid()}-{digest}" / "broker.sock"


def embedded_url(data_dir: Path) -> str:
    """The URL of a data folder's embedded broker."""
    return f"unix://{quote(str(embedded_socket(data_dir)))}?db=0"


def _broker_in(values: dict[str, Any]) -> str:
    return embedded_url(values["data_dir"])


def _database_in(values: dict[str, Any]) -> str:
    return f"sqlite:///{values['data_dir'].resolve() / 'halfstep.db'}"


def _artifacts_in(values: dict[str, Any]) -> str:
    return f"file://{values['data_dir'].resolve() / 'artifacts'}"


def _with_scheme(url: str, schemes: Container[str], accepted: str) -> str:
    scheme = urlsplit(url).scheme
    if scheme not in schemes:
        raise ValueError(f"accepted are {accepted}; it begins with {scheme or url[:20]}")
    return url


class WorkerSettings(BaseSettings):
    """Where the state lives and how a slice is timed; all durations in seconds.

    `WorkerSettings()` reads the environment; tests pass values by name.
    """

    model_config = SettingsConfigDict(
        env_prefix="HALFSTEP_", env_nested_delimiter="__", frozen=True, validate_by_name=True, extra="ignore"
    )

    data_dir: Path = Field(default=Path("halfstep-data"), description="folder of the embedded database and files")
    database_url: str = Field(
        default_factory=_database_in, description="SQLAlchemy URL; a SQLite file in data_dir by default"
    )
    broker_url: str = Field(
        default_factory=_broker_in,
        validation_alias=AliasChoices("HALFSTEP_BROKER_URL", "REDIS_URL"),
        description="Redis or Valkey; the embedded broker's socket in data_dir by default",
    )
    artifacts_url: str = Field(default_factory=_artifacts_in, description="fsspec URL; a folder in data_dir by default")
    slice_seconds: float = Field(default=20.0, ge=0, description="how long a job trains before it lets others in")
    lease_seconds: float = Field(default=10.0, gt=0, description="a slice not renewed for so long is lost")
    heartbeat_seconds: float = Field(default=2.0, gt=0, description="between two renewals of the lease")
    directive_seconds: float = Field(default=0.25, gt=0, description="between two looks for a cancel or pause")
    checkpoint_seconds: float = Field(default=5.0, ge=0, description="between two checkpoints of a slice")
    flush_seconds: float = Field(default=0.5, ge=0, description="between two writes of metrics and progress")
    reaper_seconds: float = Field(default=1.0, gt=0, description="between two rounds of the reaper")
    rewake_seconds: float = Field(default=3.0, gt=0, description="after which a queued job is suspected forgotten")
    log_format: Literal["console", "json"] = Field(default="console", description="lines for people, or JSON lines")
    keep_checkpoints: int = Field(default=2, ge=1, description="newest checkpoints kept of a job, beside the best")
    max_lost_leases: int = Field(default=5, ge=1, description="leases a job may lose in a row without a checkpoint")
    webhook_seconds: float = Field(default=10.0, gt=0, description="longest time that one try of a webhook may take")
    webhook_retry_seconds: tuple[float, ...] = Field(
        default=(5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
        description="waits before a webhook that failed is tried again, then it is given up",
    )
    webhook_allowed_networks: tuple[str, ...] = Field(
        default=(), description='networks (CIDR) that webhooks may go to although they are not public: ["10.1.0.0/16"]'
    )
    job_memory_bytes: int = Field(
        default=0, ge=0, description="memory that one job may take; 0: 80% of the machine's for all that train at once"
    )
    limits: Limits = Limits()

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, url: str) -> str:
        try:
            driver = make_url(url).drivername
        except ArgumentError as error:
            raise ValueError(f"accepted are {DATABASES}") from error
        if driver not in {"sqlite", "postgres", "postgresql", "postgresql+psycopg"}:
            raise ValueError(f"accepted are {DATABASES}; it begins with {driver}://")
        return url

    @field_validator("broker_url")
    @classmethod
    def _is_a_broker(cls, url: str) -> str:
        return _with_scheme(url, BROKERS, "redis://, rediss:// and unix://")

    @field_validator("artifacts_url")
    @classmethod
    def _is_a_store(cls, url: str) -> str:
        return _with_scheme(url, known_implementations, "URLs of fsspec, such as file:// and s3://")

    @field_validator("webhook_allowed_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(network, strict=False)) for network in networks)

    @property
    def embedded_broker(self) -> bool:
        """Whether the broker is the one in the data folder, which somebody must run: `python -m worker.broker`."""
        return self.broker_url == embedded_url(self.data_dir)


SettingsT = TypeVar("SettingsT", bound=BaseSettings)
_SECRET = ("url",)
"""Ends of the names of settings whose values may hold a password."""


_FOLLOWING = frozenset({"default_factory_not_called"})
"""Faults that only follow from another."""


class SettingsRefused(Exception):
    """Variables that mean nothing; `str(error)` names each, what it is and what is accepted."""


def settings_of(kind: type[SettingsT], **given: Any) -> SettingsT:
    """Return the settings that the environment makes.

    Args:
        kind: of settings.
        given: values that count more than the environment.

    Raises:
        SettingsRefused: a variable has a value that is not accepted.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        raise SettingsRefused(
            " ".join(_sentence(prefix, fault) for fault in error.errors() if fault["type"] not in _FOLLOWING)
        ) from error


def settings_or_exit(kind: type[SettingsT], **given: Any) -> SettingsT:
    """The same for a program: it ends with the sentence and exit code 1."""
    try:
        return settings_of(kind, **given)
    except SettingsRefused as error:
        sys.exit(f"halfstep: {error}")


def _sentence(prefix: str, fault: Mapping[str, Any]) -> str:
    path = [str(part) for part in fault["loc"]]
    variable = prefix + "__".join(path).upper() if path and not path[0].startswith(prefix) else path[0]
    secret = path and path[-1].lower().endswith(_SECRET)
    given = "" if secret else f", which is {str(fault['input'])[:80]!r},"
    accepted = str(fault["msg"]).removeprefix("Value error, ")
    accepted = accepted.replace("Input should be ", "accepted is ", 1).partition(", unable")[0]
    return f"The setting {variable}{given} cannot be used: {accepted}."
