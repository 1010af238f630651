"""Every error the engine raises, as one tree.

EngineError                    a message, a stable code, and where in the config it happened
├── InvalidValue               also a ValueError
│   ├── Unsupported            Keras knows it, this engine does not (yet)
│   ├── ShapeMismatch          shapes that do not fit each other
│   └── DataInvalid            the numbers handed in cannot be trained on
├── InvalidType                also a TypeError
└── ScaleExhausted             also an ArithmeticError: a loss scale that may not shrink any further

Each leaf is also the builtin class that Keras raises in its place, so that ``except ValueError``
written for Keras keeps working.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Self, TypeAlias

PathPart: TypeAlias = str | int


class EngineError(Exception):
    """Base of every error of the engine.

    Attributes:
        message: what was received, what is accepted, what to do; the text of the original where it defines one.
        code: stable snake_case name for programs.
        path: where inside the config the fault lies, outermost part first.
        original: name of the Python class that the original library raises here. Where that class is an accident
            (an ``AttributeError`` on a missing dict), the engine still raises a class of this tree.
    """

    default_code: ClassVar[str] = "engine_error"
    default_original: ClassVar[str] = "Exception"

    def __init__(
        self, message: str, *, code: str | None = None, path: tuple[PathPart, ...] = (), original: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.path = path
        self.original = original or self.default_original

    def __str__(self) -> str:
        return self.message

    def at(self, *outer: PathPart) -> Self:
        """Return the same error, placed under the outer path: readers of containers add where they were."""
        return type(self)(self.message, code=self.code, path=(*outer, *self.path), original=self.original)


class InvalidValue(EngineError, ValueError):
    """A value of a right type that is not accepted."""

    default_code = "invalid_value"
    default_original = "ValueError"


class InvalidType(EngineError, TypeError):
    """A value of a type that is not accepted, or a keyword that does not exist."""

    default_code = "invalid_type"
    default_original = "TypeError"


class Unsupported(InvalidValue):
    """Something that Keras knows and this engine does not."""

    default_code = "unsupported"


class ShapeMismatch(InvalidValue):
    """Shapes that do not fit each other."""

    default_code = "shape_mismatch"


class DataInvalid(InvalidValue):
    """Training data that cannot be trained on: not finite, out of range, or empty."""

    default_code = "data_invalid"


class ScaleExhausted(EngineError, ArithmeticError):
    """A loss scale that would have to shrink beyond the floor at which its rule stops the run."""

    default_code = "loss_scale_underflow"
    default_original = "FloatingPointError"


@contextmanager
def located(*outer: PathPart) -> Iterator[None]:
    """Place every engine error raised inside the block under the outer path."""
    try:
        yield
    except EngineError as error:
        raise error.at(*outer) from error
