"""What is wrong with a job: every fault at once, each with its place, what was received and what is accepted.

SpecError        a ValueError that carries `FieldError`s
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.errors import EngineError
from worker.specs.bounds import LONGEST_KEY, MOST_FAULTS, UNREAD, Tally
from worker.specs.places import accepted_keys, place_in, reachable
from worker.specs.wording import OTHERWISE, WORDINGS, Wording, shown

Path: TypeAlias = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

LONGEST_MESSAGE = 4096
"""Characters of a message; those of the original repeat what they were given, whatever its length."""
_EACH_END = 1500


@dataclass(frozen=True)
class FieldError:
    """One fault.

    Attributes:
        code: stable snake_case name for programs.
        type: the Python error class that Keras raises in its place.
        message: what was received, what is accepted, what to do.
        pointer: JSON pointer (RFC 6901) into the request body; empty for the whole of it.
    """

    code: str
    type: str
    message: str
    pointer: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", _cut(self.message))


def _cut(message: str) -> str:
    """Return a message without the middle of what it repeats, if that is as long as a book."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    left_out = len(message) - 2 * _EACH_END
    return f"{message[:_EACH_END]} ... ({left_out:,} characters left out) ... {message[-_EACH_END:]}"


class SpecError(ValueError):
    """A request that cannot be carried out.

    Attributes:
        errors: the faults, at least one.
    """

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{error.pointer or '/'}: {error.message}" for error in self.errors))


def pointer_to(path: Path) -> str:
    """Return the JSON pointer of a path; text that UTF-8 cannot carry is shown escaped.

    It ends before a key of thousands of characters: a hundred faults behind it would repeat it a hundred times.
    """
    path = tuple(takewhile(lambda part: not isinstance(part, str) or len(part) <= LONGEST_KEY, path))
    parts = (str(part).encode("utf-8", "backslashreplace").decode() for part in path)
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def from_engine(error: EngineError, body: object, *outer: str | int) -> FieldError:
    """Return the field error of an engine error.

    Args:
        error: its path leads on from `outer`.
        body: the request; the pointer ends where the body does.
        outer: where in the body the value lies that the engine was given.
    """
    path = reachable(body, (*outer, *error.path))
    return FieldError(error.code, error.original, error.message, pointer_to(path))


def from_pydantic(
    errors: Sequence[ErrorDetails] | Sequence[Mapping[str, Any]], body: object, root: type[BaseModel]
) -> tuple[FieldError, ...]:
    """Translate what pydantic found, up to `MOST_FAULTS`: each costs more than most others found it.

    Args:
        errors: `ValidationError.errors()`, their locations starting at the root (not at FastAPI's "body").
        body: the JSON value that was validated.
        root: the model it was validated against.

    Returns:
        One error for each place, in the order of the body; none of parts that were not looked at.
    """
    found: dict[str, FieldError] = {}
    looked_at = (error for error in errors if error["type"] != UNREAD)
    for error in islice(looked_at, 2 * MOST_FAULTS):  # a union tells of one place more than once
        translated = _translate(error, body, root)
        found.setdefault(translated.pointer, translated)
    return tuple(found.values())[:MOST_FAULTS]


def read(root: type[Model], body: object) -> Model:
    """Return a body as the model that it is meant to be.

    Args:
        root: what it should be.
        body: a JSON value.

    Raises:
        SpecError: it is not; with the first faults, and not looked at beyond them.
    """
    try:
        return root.model_validate(body, context=Tally())
    except ValidationError as error:
        raise from_validation(error, body, root) from None


def from_validation(error: ValidationError, body: object, root: type[BaseModel]) -> SpecError:
    """Return the SpecError of a pydantic ValidationError."""
    return SpecError(from_pydantic(error.errors(include_url=False), body, root))


def _translate(error: ErrorDetails | Mapping[str, Any], body: object, root: type[BaseModel]) -> FieldError:
    location = tuple(error["loc"])
    kind = str(error["type"])
    path = place_in(body, location)
    context = {**error.get("ctx", {}), "message": error["msg"]}
    if kind == "extra_forbidden":
        context["accepted"] = accepted_keys(root, location)
    if kind == "unknown_class" and isinstance(error.get("input"), dict):
        path = (*path, "class_name")
    wording: Wording = WORDINGS.get(kind, OTHERWISE)
    code, original, message = wording(_name(path), error.get("input"), context)
    return FieldError(code, original, message, pointer_to(path))


def _name(path: Path) -> str:
    """Return what to call a place in a message: its last key, with the indexes after it."""
    keys = [index for index, part in enumerate(path) if isinstance(part, str)]
    if not keys:
        return "the body" if not path else f"entry {path[-1]}"
    tail = path[keys[-1] :]
    return f"{shown(tail[0])[1:-1]}{''.join(f'[{index}]' for index in tail[1:])}"
