"""The whole service in one foreground command: `python -m app.serve` (`halfstep serve`).

It holds the data folder (one supervisor at a time), starts the broker, migrates the database, then starts the HTTP
process, the workers and the reaper as children, keeps each of them alive, and ends them all when it is told to stop.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
from sqlalchemy.exc import SQLAlchemyError

from app.children import Child, Program, end
from app.hosts import exposure
from app.settings import AppSettings
from app.signals import Signals, caught
from worker.jobs import database
from worker.settings import SettingsRefused, WorkerSettings, settings_of

BROKER = "broker"
END_SECONDS, END_BROKER_SECONDS = 3.5, 1.0
"""How long workers, HTTP and reaper may take to end, and then the broker, which they need to the last: below 5 s."""
LOOK_SECONDS, FIRST_LOOK_SECONDS = 1.0, 0.1
"""Between two looks at the children; a child that dies is looked at at once."""
READY_SECONDS = 3.0
MOST_YOUNG_DEATHS = 5
"""A child that dies so often before the service was ever ready will not get better by itself."""
LOG_BYTES = 16 * 1024 * 1024


class CannotServe(Exception):
    """The service cannot start; `str(error)` says why and what to do."""


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    host: str
    port: int
    data_dir: Path
    workers: int


@contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """Hold the data folder, made if need be, against other supervisors.

    Raises:
        CannotServe: it cannot be written to, or another supervisor holds it.
    """
    try:
        (data_dir / "logs").mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "serve.lock").open("a+")
    except OSError as error:
        raise CannotServe(
            f"The data folder {data_dir} cannot be written to ({error.strerror}); choose another with --data-dir."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise CannotServe(
                f"Another halfstep serves the data folder {data_dir} (process {holder}); "
                "stop that one, or choose another folder with --data-dir."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; the HTTP process inherits it, so no connection is refused while that restarts.

    Raises:
        CannotServe: the address is taken, or none of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        raise CannotServe(
            f"Cannot listen on {host}:{port} ({error.strerror}); choose another port with --port (0 takes a free one)."
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address at which this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def programs(options: Options, embedded_broker: bool, listener: int) -> tuple[Program, ...]:
    """Return the parts of the service; the broker, where it is ours, comes first.

    Args:
        options: what the command line said.
        embedded_broker: whether the broker is ours to run.
        listener: descriptor of the socket on which the HTTP process answers.
    """
    environment = {"HALFSTEP_DATA_DIR": str(options.data_dir)}
    logs = options.data_dir / "logs"
    http = {**environment, "HALFSTEP_LISTEN_FD": str(listener)}
    parts = (
        Program(BROKER, "worker.broker", logs / "broker.log", environment, (str(options.data_dir),)),
        Program("http", "app.main", logs / "http.log", http, descriptors=(listener,)),
        Program("worker", "worker", logs / "worker.log", environment, ("--concurrency", str(options.workers))),
        Program("reaper", "worker.reaper", logs / "reaper.log", environment),
    )
    wanted = {BROKER: embedded_broker, "worker": options.workers > 0}
    return tuple(part for part in parts if wanted.get(part.name, True))


class Service:
    """The children of one supervisor, from the first start to the last end.

    Args:
        parts: what to run.
        url: where the HTTP process answers.
        signals: wakes the supervisor up.
    """

    def __init__(self, parts: Sequence[Program], url: str, signals: Signals) -> None:
        self._children = tuple(map(Child, parts))
        self._url = url
        self._signals = signals
        self._ready = False

    def run(self) -> None:
        """Serve until a signal asks to stop; then every child has ended.

        Raises:
            CannotServe: a part does not start.
        """
        try:
            for child in self._children:
                cut(child.program.log)
                child.start()
            while not self._signals.stop_within(LOOK_SECONDS if self._ready else FIRST_LOOK_SECONDS):
                self._look()
        finally:
            end([child for child in self._children if child.program.name != BROKER], END_SECONDS, self._signals)
            end(self._children, END_BROKER_SECONDS, self._signals)

    def _look(self) -> None:
        """Start again what died, and tell once that the service is ready."""
        for child in self._children:
            code = child.look()
            if code is not None:
                self._mourn(child, code)
            cut(child.program.log)
        if not self._ready and _is_ready(self._url):
            self._ready = True
            click.echo(f"Halfstep is ready at {self._url} (API at {self._url}/docs). Stop it with Ctrl-C.")

    def _mourn(self, child: Child, code: int) -> None:
        name, log = child.program.name, child.program.log
        if not self._ready and child.deaths >= MOST_YOUNG_DEATHS:
            raise CannotServe(f"The part {name!r} does not start (exit code {code}); see {log}.\n{_last_words(log)}")
        click.echo(f"{name} ended with exit code {code} and is started again in {child.pause:g} s ({log}).", err=True)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=READY_SECONDS).is_success
    except httpx.HTTPError:
        return False


def cut(log: Path, most: int = LOG_BYTES) -> None:
    """Keep one earlier log beside a new one once it has grown long.

    It is copied and emptied in place: the process that writes to it holds it open, and goes on at its end.
    """
    if log.exists() and log.stat().st_size > most:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])


def _allow(settings: AppSettings, listener: socket.socket) -> None:
    """Let nobody in unasked.

    Raises:
        CannotServe: others can reach the address, and no key would be asked for.
    """
    exposed = exposure(settings.auth, str(listener.getsockname()[0]))
    if exposed is not None:
        raise CannotServe(exposed)


def _migrate(url: str) -> None:
    try:
        database.migrate(url)
    except SQLAlchemyError as error:
        raise CannotServe(f"The database cannot be used: {error}") from error


def serve(options: Options) -> None:
    """Run the service until it is told to stop.

    Raises:
        CannotServe: see the message.
    """
    settings = settings_of(WorkerSettings, data_dir=options.data_dir)
    front = settings_of(AppSettings)
    with ExitStack() as stack:
        # From here on a signal is heard in its turn: whatever was begun is ended in order.
        signals = stack.enter_context(caught())
        stack.enter_context(held(options.data_dir))
        listener = stack.enter_context(listening(options.host, options.port))
        click.echo(f"Starting Halfstep in {options.data_dir} ...")
        _allow(front, listener)
        _migrate(settings.database_url)
        parts = programs(options, settings.embedded_broker, listener.fileno())
        Service(parts, url_of(listener), signals).run()
        click.echo("Stopped.")


@click.command()
@click.option("--host", envvar="HALFSTEP_HOST", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    envvar="HALFSTEP_PORT",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="0 takes a free one.",
)
@click.option(
    "--data-dir",
    envvar="HALFSTEP_DATA_DIR",
    default=Path("halfstep-data"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the database, the queue and the files of jobs.",
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(0, 256), help="How many jobs train at the same time."
)
def main(host: str, port: int, data_dir: Path, workers: int) -> None:
    """Run the whole service in the foreground: HTTP, workers, broker and reaper.

    SIGTERM or Ctrl-C ends every part of it. Started again on the same data folder, it goes on with unfinished jobs.
    """
    try:
        serve(Options(host, port, data_dir.resolve(), workers))
    except (CannotServe, SettingsRefused) as error:
        click.echo(f"halfstep: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="halfstep serve")
