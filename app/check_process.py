"""A process of `app.process_pool`: answers one call after the other until its connection is closed.

`python -m app.check_process FD BYTES`: FD is a connection to the process that asks, BYTES the most addresses that this
one may have.
"""

from __future__ import annotations

import gc
import resource
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import cast

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.check_services import CheckServices, CheckSettings
from app.finite_json import BodyNotJson
from app.process_pool import Request
from engine.errors import EngineError
from worker.jobs.artifacts import Unreachable
from worker.jobs.errors import JobsError
from worker.specs.errors import SpecError
from worker.specs.job import JobSpec

_ANSWERS = (SpecError, JobsError, EngineError, BodyNotJson, Unreachable, MemoryError)
"""What a call may raise, to be raised where it was asked for. Anything else is a fault of ours and ends the process."""


class Calls:
    """Answers calls; services are kept for as long as those that ask have the same settings.

    Args:
        connection: to the process that asks.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._services: CheckServices | None = None

    def answer(self) -> None:
        """Take a call, and send whether it returned, and what it returned or raised.

        Raises:
            EOFError: there are no more calls.
        """
        settings, tenant, call, arguments, seconds = cast(Request, self._connection.recv())
        signal.setitimer(signal.ITIMER_REAL, seconds)  # ends this process, should the one who asked be gone
        try:
            self._connection.send((True, call(self._of(settings, tenant), *arguments)))
        except _ANSWERS as error:
            self._connection.send((False, (type(error), error.args, vars(error))))
        except (OperationalError, PoolTimeout) as error:  # the driver's own error need not be one that can be sent
            self._connection.send((False, (PoolTimeout, (str(error),), {})))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _of(self, settings: CheckSettings, tenant: str) -> CheckServices:
        if self._services is None or settings != self._services.settings:
            if self._services is not None:
                self._services.database.dispose()
            self._services = CheckServices.wire(settings)
        return self._services.of(tenant)


def main(descriptor: str, memory_bytes: str) -> None:
    """Answer calls."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal; the one who asks ends this
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    JobSpec.model_rebuild()  # it is built when it is first used, unless it is asked to be
    gc.collect()
    gc.freeze()
    calls = Calls(Connection(int(descriptor)))
    with suppress(EOFError, ConnectionError):
        while True:
            calls.answer()


if __name__ == "__main__":
    main(*sys.argv[1:])
