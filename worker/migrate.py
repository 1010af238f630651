"""`python -m worker.migrate` brings the database to the newest schema; containers run it once before all else."""

from worker.jobs.database import migrate
from worker.settings import WorkerSettings


def main() -> None:
    """Migrate the database that the environment names; does nothing if it is new enough."""
    migrate(WorkerSettings().database_url)


if __name__ == "__main__":
    main()
