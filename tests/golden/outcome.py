"""What an adapter returns, in the form the cases record: facts of a success, or a refusal."""

import re
from collections.abc import Iterable
from typing import Any

from engine.errors import EngineError

_ADDRESS = re.compile(r"0x[0-9a-f]+")


class NotBuilt(Exception):
    """The engine does not have yet what a case asks for; such cases count as unsupported, not as failed."""


def accepted(**facts: Any) -> dict[str, Any]:
    return {"ok": True, **facts}


def refused(error: EngineError, warnings: Iterable[str] = ()) -> dict[str, Any]:
    message = _ADDRESS.sub("0x...", error.message)
    return {"ok": False, "error": error.original, "message": message, "warnings": list(warnings)}
