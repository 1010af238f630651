"""Train the handwritten digits in float16 with dynamic loss scaling, from nothing: `make demo`.

Starts the whole service on a free port, sends `digits.json` over HTTP, follows it, and shows what came of it. The
loss scale begins far too high, so the first steps overflow and are skipped until it has come down.

Ends with 0 if the validation accuracy is at least 0.95 and some steps were skipped.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from app.client import Client, HalfstepError
from app.scale_plot import plot
from app.watching import watch

JOB = Path(__file__).with_name("digits.json")
WANTED_ACCURACY = 0.95
STOP_SECONDS = 10
_READY = re.compile(r"ready at (\S+)")

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def service(data_dir: Path) -> Iterator[str]:
    """Run the service on a free port for as long as the block lasts; gives its address.

    Raises:
        click.ClickException: it does not start; it has said why.
    """
    command = [sys.executable, "-m", "app.serve", "--port", "0", "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            found = filter(None, map(_READY.search, process.stdout or ()))
            ready = next(found, None)
            if ready is None:
                raise click.ClickException("The service did not start.")
            yield ready[1]
        finally:
            process.terminate()
            process.communicate(timeout=STOP_SECONDS)


def show(client: Client, job: dict[str, Any], model: Path) -> bool:
    """Print what came of the job, and save its model; return whether it is what it should be."""
    columns = client.metrics(job["id"], "loss_scale", "applied", max_points=100_000)
    sha256 = client.download(job["id"], "model.safetensors", model)
    accuracy, skipped = job["metrics"]["val_accuracy"], job["skipped_steps"]
    console.print()
    console.print(plot(columns["step"], columns["loss_scale"], columns["applied"]), markup=False)
    console.print()
    console.print(f"validation accuracy   [bold]{accuracy:.4f}[/bold] (wanted: at least {WANTED_ACCURACY})")
    console.print(f"skipped steps         [bold]{skipped}[/bold] of {job['progress']['step']}")
    console.print(f"model file            [bold]{model}[/bold] (sha256 {sha256})")
    return bool(accuracy >= WANTED_ACCURACY and skipped > 0)


@click.command()
@click.option(
    "--data-dir",
    default=Path("data/demo"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the service, kept afterwards.",
)
def main(data_dir: Path) -> None:
    """Train the handwritten digits in float16 and show what happened."""
    try:
        with service(data_dir) as url, Client(url) as client:
            console.print(f"The service is ready at {url}; sending {JOB.name} ...")
            job = client.submit(json.loads(JOB.read_text(encoding="utf-8")))
            job = watch(client, job["id"], console)
            if job["status"] != "succeeded":
                raise click.ClickException(f"The job {job['status']}: {job['error'] or job['status_reason']}")
            good = show(client, job, data_dir.resolve() / "model.safetensors")
    except HalfstepError as error:
        raise click.ClickException(str(error)) from error
    if not good:
        raise click.ClickException("This is not what it should be.")


if __name__ == "__main__":
    main()
