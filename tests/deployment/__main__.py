"""`make image` (as root): the image of the Dockerfile, built and run without a container engine.

The base image is made of Debian's packages, for no registry is asked; the lock's packages are fetched by the pip of
this machine, however that is set up, and the build itself installs from that folder.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from packaging.requirements import Requirement

from tests.contracts.sources import ROOT
from tests.deployment.container import Builder, Container
from tests.deployment.proof import prove

PACKAGES = ("python3", "python3-venv", "python3-distutils", "python-is-python3", "ca-certificates")
BASE, IMAGE = "localhost/python-of-debian", "localhost/halfstep"
NEEDED = ("debootstrap", "buildah")


def make_base(builder: Builder, folder: Path, suite: str) -> None:
    """Make the base image out of Debian's packages, unless an earlier run left the tree."""
    tree = folder / suite
    if not (tree / "usr" / "bin" / "python").exists():
        shutil.rmtree(tree, ignore_errors=True)
        include = f"--include={','.join(PACKAGES)}"
        subprocess.run(["debootstrap", "--variant=minbase", include, suite, tree], check=True, stdout=sys.stderr)
        shutil.rmtree(tree / "var" / "cache" / "apt")
        shutil.rmtree(tree / "var" / "lib" / "apt" / "lists")
    made = builder.output("from", "scratch")
    builder.run("add", "--quiet", made, str(tree), "/")
    builder.run("commit", "--quiet", "--rm", made, BASE)


def fetch(builder: Builder, folder: Path) -> Path:
    """Download, by hash, what the lock names for the base image's Python; return the folder."""
    with Container.of(builder, BASE) as base:
        version = base.output("python", "-c", "import platform; print(platform.python_version())")
    lock, wheels = folder / "for-the-base.lock", folder / "wheels"
    lock.write_text(wanted((ROOT / "requirements.lock").read_text(encoding="utf-8"), version), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--quiet", "--python-version", version]
    exact = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, *exact, "--dest", wheels, "-r", lock], check=True)
    return wheels


def wanted(lock: str, version: str) -> str:
    """The entries of a lock that a Python of this version installs: pip asks the Python it runs on, not the target."""
    entries = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)[1:]
    return "".join(map(_unconditional, (entry for entry in entries if _applies(entry, version))))


def _applies(entry: str, version: str) -> bool:
    marker = Requirement(entry.splitlines()[0].rstrip("\\ ")).marker
    return marker is None or marker.evaluate({"python_full_version": version})


def _unconditional(entry: str) -> str:
    return re.sub(r" ; [^\\]+(?= \\)", "", entry, count=1)


def build(builder: Builder, folder: Path) -> None:
    """Build the Dockerfile on the base, with the packages of `fetch`."""
    wheels = fetch(builder, folder)
    settings = folder / "pip.conf"
    settings.write_text("[global]\nno-index = true\nfind-links = /wheels\n", encoding="utf-8")
    mounts = ("--volume", f"{wheels}:/wheels:ro", "--volume", f"{settings}:/etc/pip.conf:ro")
    # The docker format: that of OCI knows no HEALTHCHECK.
    how = ("--format", "docker", "--isolation", "chroot", "--build-arg", f"BASE={BASE}")
    builder.run("build", *how, *mounts, "--tag", IMAGE, str(ROOT))


@click.command()
@click.option("--suite", default="bookworm", show_default=True, help="Of Debian; its python3 must be 3.11.")
@click.option("--folder", type=click.Path(path_type=Path), help="Kept for the next run.")
def main(suite: str, folder: Path | None) -> None:
    """Build the image, look at it, and train a job in it."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise click.ClickException(f"apt-get install {' '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="halfstep-image-") as own:
        place = (folder or Path(own)).resolve()
        place.mkdir(parents=True, exist_ok=True)
        builder = Builder(place / "storage")
        make_base(builder, place, suite)
        build(builder, place)
        with Container.of(builder, IMAGE) as container:
            facts = prove(container)
    click.echo(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
