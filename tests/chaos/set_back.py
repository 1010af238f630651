"""`python -m tests.chaos.set_back --seconds 3600`: a reaper on a host whose clock was set back."""

import signal
import time
from threading import Event

import click

from worker.jobs import database
from worker.jobs.store import JobStore
from worker.lifeline import end_with_parent
from worker.queue import CeleryQueue
from worker.reaper import Reaper, run
from worker.settings import WorkerSettings


@click.command()
@click.option("--parent", type=int, required=True)
@click.option("--seconds", type=float, required=True)
def main(parent: int, seconds: float) -> None:
    end_with_parent(parent)
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = WorkerSettings()

    def clock() -> float:
        return time.time() - seconds

    store = JobStore(database.create(settings.database_url), clock)
    run(Reaper(store, CeleryQueue(settings.broker_url), settings, clock=clock), stop)


if __name__ == "__main__":
    main()
