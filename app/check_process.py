"""A process of `app.process_pool`: answers one call after the other until its connection is closed.

`python -m app.check_process FD BYTES`: FD is a connection to the process that asks, BYTES the most addresses that this
one may have.
"""

from __future__ import annotations

import gc
import pickle
import resource
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.check_services import CheckServices
from app.finite_json import BodyNotJson
from engine.errors import EngineError
from worker.jobs.artifacts import Unreachable
from worker.jobs.errors import JobsError
from worker.specs.errors import SpecError
from worker.specs.job import JobSpec

_ANSWERS = (SpecError, JobsError, EngineError, BodyNotJson, Unreachable, MemoryError)
"""What a call may raise, to be raised where it was asked for. Anything else is a fault of ours and ends the process."""


class Calls:
    """Answers calls; services are kept for as long as those that ask have the same settings."""

    def __init__(self) -> None:
        self._settings = b""
        self._services: CheckServices | None = None

    def answer(self, request: bytes) -> bytes:
        """Return whether a call returned, and what it returned or raised, pickled."""
        settings, tenant, call, arguments = pickle.loads(request)  # noqa: S301  # from the process that started this one
        try:
            answer = pickle.dumps((True, call(self._of(settings, tenant), *arguments)), pickle.HIGHEST_PROTOCOL)
        except _ANSWERS as error:
            answer = pickle.dumps((False, (type(error), error.args, vars(error))))
        except (OperationalError, PoolTimeout) as error:  # the driver's own error need not be picklable
            answer = pickle.dumps((False, (PoolTimeout, (str(error),), {})))
        return answer

    def _of(self, settings: bytes, tenant: str) -> CheckServices:
        if self._services is None or settings != self._settings:
            if self._services is not None:
                self._services.database.dispose()
            self._services = CheckServices.wire(pickle.loads(settings))  # noqa: S301  # likewise
            self._settings = settings
        return self._services.of(tenant)


def main(descriptor: str, memory_bytes: str) -> None:
    """Answer calls."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of a terminal; the one who asks ends this
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    JobSpec.model_rebuild()  # it is built when it is first used, unless it is asked to be
    gc.collect()
    gc.freeze()
    calls, connection = Calls(), Connection(int(descriptor))
    with suppress(EOFError, ConnectionError):
        while True:
            connection.send_bytes(calls.answer(connection.recv_bytes()))


if __name__ == "__main__":
    main(*sys.argv[1:])
