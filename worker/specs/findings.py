"""A collector of faults, so that a job hears of all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

from engine.errors import EngineError
from worker.specs.errors import FieldError, SpecError, pointer_to
from worker.specs.places import reachable
from worker.specs.precision_names import hinted


class Findings:
    """Faults found so far in one request.

    Args:
        body: the request as JSON; pointers end where it does.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.errors: list[FieldError] = []

    def add(self, code: str, message: str, *path: str | int) -> None:
        """Note a fault that Keras would raise a ValueError for, or has no word for."""
        self.errors.append(FieldError(code, "ValueError", message, pointer_to(reachable(self.body, path))))

    def at(self, *outer: str | int) -> Noting:
        """Return a context that notes what the engine refuses in it as lying under the outer path, and goes on."""
        return Noting(self, outer)

    def raise_if_any(self) -> None:
        """End the check if there is a fault.

        Raises:
            SpecError: with every fault once.
        """
        if self.errors:
            raise SpecError(dict.fromkeys(self.errors))


@dataclass(frozen=True)
class Noting:
    """Swallows the errors of engine and specs after noting them."""

    findings: Findings
    outer: tuple[str | int, ...]

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Note the error; any other one goes on its way."""
        if isinstance(error, EngineError):
            self.findings.errors.append(hinted(error, self.findings.body, *self.outer))
            return True
        if isinstance(error, SpecError):
            self.findings.errors.extend(error.errors)
            return True
        return False
