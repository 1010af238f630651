"""The command line: `halfstep serve`, `submit`, `watch` and the like. A client like any other, over `app.client`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from app.client import DEFAULT_URL, TERMINAL, ApiError, Client, HalfstepError, Invalid, Unreachable
from app.notices import show_file, show_reach, show_warnings
from app.watching import shown
from app.watching import watch as watch_job

FAILED, USAGE, UNREACHABLE = 1, 2, 3
"""Exit codes: the job (or the request) failed, the command was wrong (also bad files), nobody answers."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
url_option = click.option(
    "--url", envvar="HALFSTEP_URL", default=DEFAULT_URL, show_default=True, help="Where the service listens."
)


@contextmanager
def connected(url: str) -> Iterator[Client]:
    """Give a client; end the command with a plain message and an exit code if the service refuses or is away."""
    try:
        with Client(url) as client:
            yield client
    except Unreachable as error:
        _end(UNREACHABLE, f"{error} Start one with: halfstep serve")
    except ApiError as error:
        for fault in error.errors:
            err.print(f"  [bold]{fault['pointer'] or '(whole job)'}[/bold]: {fault['message']}", markup=True)
        _end(
            USAGE if isinstance(error, Invalid) else FAILED,
            error.detail if not error.errors else "The job was refused.",
        )
    except HalfstepError as error:
        _end(FAILED, str(error))


def _end(code: int, message: str) -> NoReturn:
    err.print(f"[red]halfstep:[/red] {message}")
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="halfstep")
def main() -> None:
    """Low-precision training as a service."""


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Run the whole service here: HTTP, workers, broker, reaper (see serve --help)."""
    _become("app.serve", arguments)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def worker(arguments: tuple[str, ...]) -> None:
    """Run a worker for a service that runs elsewhere (HALFSTEP_DATABASE_URL, HALFSTEP_BROKER_URL)."""
    _become("worker", arguments)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def keys(arguments: tuple[str, ...]) -> None:
    """Make, list and revoke API keys, where the service's database can be reached (see keys --help)."""
    _become("app.administration", ("keys", *arguments))


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def audit(arguments: tuple[str, ...]) -> None:
    """Print who did what, where the service's database can be reached (see audit --help)."""
    _become("app.administration", ("audit", *arguments))


def _become(module: str, arguments: tuple[str, ...]) -> NoReturn:
    """Replace this process: the command line itself loads nothing of the server."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # our own interpreter


@main.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--watch/--no-watch", default=False, help="Follow the job until it ends.")
@click.option("--dry-run", is_flag=True, help="Only say whether the job would be accepted.")
@click.option("--key", default=None, help="Idempotency key: the same key never makes a second job.")
@url_option
def submit(file: Path, watch: bool, dry_run: bool, key: str | None, url: str) -> None:
    """Send the job in FILE (JSON; - is standard input)."""
    spec = _read_job(file)
    with connected(url) as client:
        if dry_run:
            checked = client.check(spec)
            out.print_json(data=checked["summary"])
            show_reach(checked["policy_reach"], err)
            show_warnings(checked["warnings"], err)
            return
        job = client.submit(spec, idempotency_key=key)
        show_reach(job["policy_reach"], err)
        show_warnings(job["warnings"], err)
        out.print(job["id"])
        if watch:
            sys.exit(_followed(client, job["id"]))


def _read_job(file: Path) -> Any:
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            return json.load(opened)
    except OSError as error:
        _end(USAGE, f"Cannot read {file}: {error.strerror}.")
    except UnicodeDecodeError:
        _end(USAGE, f"{file} is not UTF-8 text; a job is a JSON file.")
    except json.JSONDecodeError as error:
        _end(USAGE, f"{file} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.")


@main.command()
@click.argument("job")
@url_option
def watch(job: str, url: str) -> None:
    """Follow JOB until it ends: progress, loss, loss scale, skipped steps. Exit code 0 if it succeeded."""
    with connected(url) as client:
        sys.exit(_followed(client, job))


def _followed(client: Client, job_id: str) -> int:
    job = watch_job(client, job_id, err)
    if job["status"] == "succeeded":
        out.print(f"{job_id} succeeded after {job['progress']['step']} steps, {job['skipped_steps']} of them skipped")
        return 0
    reason = job["error"]["message"] if job["error"] else job["status_reason"]
    err.print(f"{job_id} {job['status']}: {reason}")
    return FAILED


@main.command()
@click.option("--status", multiple=True, help="Only jobs in this state; may be repeated.")
@click.option("--limit", default=20, show_default=True, help="Show at most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@url_option
def jobs(status: tuple[str, ...], limit: int, as_json: bool, url: str) -> None:
    """List jobs, newest first."""
    with connected(url) as client:
        found = client.jobs(status=list(status) or None, limit=max(1, min(limit, 100)))
        rows = [job for job, _ in zip(found, range(limit), strict=False)]
    if as_json:
        for job in rows:
            click.echo(json.dumps(job))
        return
    table = Table(
        Column("job", no_wrap=True), "status", "progress", "loss", "loss scale", "skipped", "created", box=None
    )
    for job in rows:
        table.add_row(*_row(job))
    out.print(table)


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    loss, scale = job["metrics"].get("loss"), job["loss_scale"]
    name = job["id"] + (f" ({job['suffix']})" if job["suffix"] else "")
    created = datetime.fromtimestamp(job["created_at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return (
        name,
        job["status"],
        f"{job['progress']['percent']:.0f} %",
        shown(loss),
        shown(scale),
        str(job["skipped_steps"]),
        created,
    )


@main.command()
@click.argument("job")
@click.option("--wait/--no-wait", default=False, help="Wait until its worker has let go of it.")
@url_option
def cancel(job: str, wait: bool, url: str) -> None:
    """Cancel JOB."""
    with connected(url) as client:
        status = client.cancel(job)["status"]
        if wait and status not in TERMINAL:
            status = [event["type"] for event in client.events(job)][-1].removeprefix("job.")
    out.print(f"{job} {status}")


@main.group()
def files() -> None:
    """Upload files of training data, list and delete them."""


@files.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--purpose", default="fine-tune", show_default=True, help="A word to find it by.")
@url_option
def upload(paths: tuple[Path, ...], purpose: str, url: str) -> None:
    """Send PATHS (.npz, .npy, .safetensors, .csv, .jsonl, .parquet); print an id for each.

    What was understood of each file (columns, dtypes, rows, the column of labels) goes to standard error.
    """
    with connected(url) as client:
        for path in paths:
            file = client.upload(path, purpose=purpose)
            out.print(file["id"])
            show_file(file, err)


@files.command("list")
@click.option("--purpose", default=None, help="Only files of this purpose.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@url_option
def list_files(purpose: str | None, as_json: bool, url: str) -> None:
    """List files, newest first."""
    with connected(url) as client:
        rows = list(client.files(purpose=purpose, limit=100))
    if as_json:
        for file in rows:
            click.echo(json.dumps(file))
        return
    table = Table(
        Column("file", no_wrap=True),
        Column("name", overflow="fold"),
        "bytes",
        "rows",
        "arrays",
        box=None,
    )
    for file in rows:
        shapes = "\n".join(f"{array['name']} {array['dtype']}{array['shape']}" for array in file["arrays"][:3])
        more = f"\nand {len(file['arrays']) - 3} more" if len(file["arrays"]) > 3 else ""
        cells = (file["id"], file["filename"], f"{file['bytes']:,}", str(file["rows"]), shapes + more)
        table.add_row(*map(escape, cells))
    out.print(table)


@files.command("delete")
@click.argument("ids", nargs=-1, required=True)
@url_option
def delete_files(ids: tuple[str, ...], url: str) -> None:
    """Delete the files IDS, unless a job that may still run is trained on one."""
    with connected(url) as client:
        for file_id in ids:
            client.delete_file(file_id)
            out.print(f"{file_id} deleted")


@main.command()
@url_option
def doctor(url: str) -> None:
    """Tell what runs, what does not, and what to do about it."""
    with connected(url) as client:
        checks = client.ready()
    for name, said in checks.items():
        out.print(f"{'[green]ok[/green]   ' if said == 'ok' else '[red]not ok[/red]'} {name}: {said}")
    if any(said != "ok" for said in checks.values()):
        _end(FAILED, f"{url} answers, but a job sent now would wait.")
    out.print(f"{url} is ready")


if __name__ == "__main__":
    main()
