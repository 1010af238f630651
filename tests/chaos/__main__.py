"""`python -m tests.chaos --jobs 200 --seed 1`: the long form of the campaign, with its table."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.chaos import disk
from tests.chaos.campaign import Campaign, Outcome, Verdict, undisturbed
from tests.chaos.faults import FAULTS
from tests.chaos.service import served
from tests.postgres import Postgres, running_postgres

EPOCHS = (8, 12, 16, 20, 24, 30)
SETTINGS = {"slice_seconds": 2.0, "checkpoint_seconds": 0.3, "flush_seconds": 0.1}


@contextmanager
def place(kind: str) -> Iterator[tuple[Postgres | None, str]]:
    """A new database: its server, if it has one, and its URL (empty: SQLite in the data folder)."""
    if kind == "sqlite":
        yield None, ""
        return
    with running_postgres() as server:
        yield server, server.url()


def table(kind: str, outcomes: dict[str, Outcome], verdict: Verdict, seconds: float) -> Table:
    """The outcomes as people read them."""
    title = f"{kind}: {verdict.jobs} jobs in {verdict.slices} slices, {seconds:.0f} s"
    shown = Table("fault", "times", "slices cut off", "until training again", "until whole", title=title)
    for name, outcome in outcomes.items():
        times = (f"{outcome.longest:.1f} s" if outcome.cut_off else "-", f"{outcome.lasted:.1f} s")
        counts = (str(outcome.times), str(outcome.cut_off), *times)
        shown.add_row(name, *(("-", "-", "-", f"not here: {outcome.refused}") if outcome.refused else counts))
    return shown


DATABASES = ("sqlite", "postgresql")
FAULT = click.Choice(tuple(FAULTS))
DATABASE = click.Choice(DATABASES)


@click.command()
@click.option("--jobs", default=200, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--rounds", default=36, show_default=True, help="Faults inflicted; every kind comes equally often.")
@click.option("--fault", type=FAULT, default=tuple(FAULTS), multiple=True, help="Only this one; may be repeated.")
@click.option("--database", type=DATABASE, default=DATABASES, multiple=True, show_default=True)
def main(jobs: int, seed: int, rounds: int, fault: tuple[str, ...], database: tuple[str, ...]) -> None:
    """Train many jobs while everything breaks, and compare them with undisturbed ones."""
    console = Console(width=110)
    wrong: list[str] = []
    for kind in database:
        folder = Path(tempfile.mkdtemp(prefix="halfstep-chaos-"))
        kinds = undisturbed(folder / "undisturbed", EPOCHS)
        begun = time.monotonic()
        data = folder / "data"
        with (
            disk.small(data / "artifacts"),
            place(kind) as (server, url),
            served(data, server, url, **SETTINGS) as one,
        ):
            campaign = Campaign(one, kinds, seed)
            verdict = campaign.run(jobs, fault, rounds)
        console.print(table(kind, campaign.outcomes, verdict, time.monotonic() - begun))
        console.print(
            f"lost {len(verdict.lost)}, run twice {len(verdict.doubled)}, other weights {len(verdict.other_weights)}, "
            f"steps not recorded exactly once {len(verdict.uneven_steps)}, uneven events {len(verdict.uneven_events)}"
        )
        wrong += verdict.faults
        if not verdict.faults:
            shutil.rmtree(folder)
    for line in wrong:
        console.print(line)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
