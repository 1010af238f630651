"""What buildah does for us: build, look, and run a process in an image's files, without a container engine."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Builder:
    """buildah with a storage of its own; `vfs` needs nothing of the kernel."""

    storage: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line of a call."""
        places = ("--root", str(self.storage / "root"), "--runroot", str(self.storage / "run"))
        return ["buildah", *places, "--storage-driver", "vfs", *arguments]

    def run(self, *arguments: str) -> None:
        """Do it, or raise; what it says goes to the terminal."""
        subprocess.run(self.command(*arguments), check=True)

    def output(self, *arguments: str) -> str:
        """Do it, and return what it printed."""
        return subprocess.run(self.command(*arguments), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@dataclass(frozen=True)
class Container:
    """The files of an image, in which processes may be run under the image's own settings."""

    builder: Builder
    name: str
    settings: dict[str, Any]
    bytes: int

    @classmethod
    @contextmanager
    def of(cls, builder: Builder, image: str) -> Iterator[Self]:
        """Make one; it is removed in the end."""
        facts = json.loads(builder.output("inspect", "--type", "image", image))
        size = _tree_bytes(builder, image)
        name = builder.output("from", "--pull-never", image)
        try:
            yield cls(builder, name, facts["Docker"]["config"] or {}, size)
        finally:
            builder.run("rm", name)

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs a program in here, as the image's user, in its folder and environment."""
        return self.builder.command("run", "--isolation", "chroot", self.name, "--", *arguments)

    def output(self, *arguments: str) -> str:
        """Run a program, and return what it printed."""
        return subprocess.run(self.command(arguments), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _tree_bytes(builder: Builder, image: str) -> int:
    """Bytes of all files of an image."""
    name = builder.output("from", "--pull-never", image)
    tree = builder.output("mount", name)
    size = int(subprocess.run(["du", "-sb", tree], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0])
    builder.run("rm", name)
    return size
