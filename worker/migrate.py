"""`python -m worker.migrate` brings the database to the newest schema; containers run it once before all else."""

import click

from worker.jobs.database import migrate
from worker.settings import WorkerSettings, settings_or_exit


@click.command()
def main() -> None:
    """Bring the database that the environment names to the newest schema; does nothing if it is new enough."""
    migrate(settings_or_exit(WorkerSettings).database_url)


if __name__ == "__main__":
    main(prog_name="python -m worker.migrate")
