"""A disk of a few megabytes for the artifacts, which can be filled."""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotHere(Exception):
    """This machine does not allow the fault."""


@contextmanager
def small(folder: Path) -> Iterator[None]:
    """Mount a small disk on the folder, if this process may; otherwise the folder lies where it lies."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    try:
        yield
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave no byte on the folder's disk while the block runs. Raises: NotHere, it is no disk of its own."""
    if not folder.is_mount():
        raise NotHere("no leave to mount a small disk")
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    try:
        yield
    finally:
        filler.unlink()
