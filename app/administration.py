"""What whoever runs the service does beside its API: `halfstep keys` and `halfstep audit`, on the database itself."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from worker.jobs import database
from worker.jobs.audit import AuditLog, Deed
from worker.jobs.errors import KeyRefused
from worker.jobs.keys import SCOPES, ApiKey, KeyStore
from worker.jobs.tenants import DEFAULT
from worker.settings import WorkerSettings, settings_or_exit

CLI = "cli"
DAY_SECONDS = 86_400.0
out = Console(highlight=False, soft_wrap=True)
data_dir_option = click.option(
    "--data-dir",
    envvar="HALFSTEP_DATA_DIR",
    type=click.Path(path_type=Path),
    help="Folder of the service; HALFSTEP_DATABASE_URL, where it is set, counts more.",
)


@contextmanager
def opened(data_dir: Path | None) -> Iterator[sa.Engine]:
    """Open the service's database, brought up to date if need be; end the command if that fails, or there is none."""
    given = {} if data_dir is None else {"data_dir": data_dir.resolve()}
    settings = settings_or_exit(WorkerSettings, **given)
    file = database.file_of(settings.database_url)
    if file is not None and not file.exists():
        _end(
            f"There is no database {file}. Start the service once with `halfstep serve --data-dir {file.parent}`, "
            "or name the folder of the one that runs with --data-dir."
        )
    engine = database.create(settings.database_url)
    try:
        database.migrate(settings.database_url)
        yield engine
    except KeyRefused as error:
        _end(str(error))
    except SQLAlchemyError as error:
        # The driver's words name host and user; the password is in neither, and the URL is not shown.
        _end(f"The database cannot be used: {getattr(error, 'orig', None) or type(error).__name__}")
    finally:
        engine.dispose()


def _end(message: str) -> None:
    click.echo(f"halfstep: {message}", err=True)
    sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Keys and the audit log of a service, on its database itself."""


@main.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command()
@click.option("--tenant", default=DEFAULT, show_default=True, help="Whose jobs it opens; a new name is a new tenant.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=("read", "write"),
    show_default=True,
    help=f"Any of {', '.join(SCOPES)}.",
)
@click.option("--name", default="", help="What you call it.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Until it expires; without: never.")
@data_dir_option
def create(tenant: str, scopes: tuple[str, ...], name: str, days: float | None, data_dir: Path | None) -> None:
    """Make a key, and print its token: once, it is kept nowhere."""
    with opened(data_dir) as engine:
        seconds = None if days is None else days * DAY_SECONDS
        key, token = KeyStore(engine).create(tenant, scopes, name=name, seconds=seconds)
        _note(engine, key, "keys create", 201)
    click.echo(f"{key.id} of tenant {key.tenant} may {', '.join(key.scopes)}. This is shown once; keep it:", err=True)
    click.echo(token)


@keys.command("list")
@click.option("--tenant", default=None, help="Only of this one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@data_dir_option
def list_keys(tenant: str | None, as_json: bool, data_dir: Path | None) -> None:
    """List keys, revoked ones too; tokens are not known."""
    with opened(data_dir) as engine:
        found = KeyStore(engine).keys(tenant)
    if as_json:
        for key in found:
            click.echo(json.dumps(asdict(key)))
        return
    table = Table("key", "tenant", "name", "scopes", "created", "expires", "revoked", "last used", box=None)
    for key in found:
        times = (key.created_at, key.expires_at, key.revoked_at, key.last_used_at)
        table.add_row(key.id, key.tenant, key.name, ",".join(key.scopes), *map(_shown, times))
    out.print(table)


@keys.command()
@click.argument("key_id")
@data_dir_option
def revoke(key_id: str, data_dir: Path | None) -> None:
    """Take KEY_ID back, from the next request on."""
    with opened(data_dir) as engine:
        key = KeyStore(engine).revoke(key_id)
        _note(engine, key, "keys revoke", 200)
    click.echo(f"{key.id} of tenant {key.tenant} is revoked.")


@main.command()
@click.option("--tenant", default=None, help="Only of this one.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="So many of the last lines.")
@data_dir_option
def audit(tenant: str | None, limit: int, data_dir: Path | None) -> None:
    """Print who did what to which object, and how it ended: one JSON object a line, oldest first."""
    with opened(data_dir) as engine:
        lines = AuditLog(engine).read(tenant=tenant, limit=limit)
    for line in lines:
        click.echo(json.dumps(asdict(line)))


def _note(engine: sa.Engine, key: ApiKey, action: str, outcome: int) -> None:
    AuditLog(engine).append(Deed(key.tenant, CLI, getpass.getuser(), "", action, key.id, outcome))


def _shown(at: float | None) -> str:
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


if __name__ == "__main__":
    main(prog_name="halfstep")
