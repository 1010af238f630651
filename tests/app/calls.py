"""Calls for processes of `app.process_pool`, whose module must be one that such a process can import."""

import os
import signal
from pathlib import Path

from app.check_services import CheckServices
from worker.specs.errors import FieldError, SpecError


def process_id(_services: CheckServices) -> int:
    """Return which process this is."""
    return os.getpid()


def kept(_services: CheckServices, count: int) -> int:
    """Use so many bytes."""
    return len(bytearray(count))


def waiting(_services: CheckServices) -> None:
    """Never return."""
    while True:
        signal.pause()


def killed(_services: CheckServices) -> None:
    """Be ended in the middle, as the kernel does it when a machine has no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


def refused(_services: CheckServices, message: str) -> None:
    """Raise what a wrong body raises."""
    raise SpecError([FieldError("wrong", "ValueError", message, "/model")])


def failed(_services: CheckServices) -> None:
    """Raise what nobody expects."""
    raise ZeroDivisionError("nobody expects this")


def tenant(services: CheckServices) -> str:
    """Return whose services these are."""
    return str(services.store._tenant)


def data_dir(services: CheckServices) -> Path:
    """Return where the services keep their files."""
    return services.settings.shared.data_dir


def size(_services: CheckServices, body: bytes) -> int:
    """Return how long the body is."""
    return len(body)
