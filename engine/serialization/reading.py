"""What reading a serialized value returns: the value, and what did not make it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Read(Generic[T]):
    """A value that was read.

    Attributes:
        value: the value.
        dropped: dotted places in the input that the value no longer holds, such as "config.loss_scale"; "class"
            where the class became another one.
        warnings: texts that the original library logs while reading.
    """

    value: T
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
