"""Readers of settings that several layers share."""

from __future__ import annotations

from typing import Any

from engine.configured import Reader, any_integer, one_of, positive_integer, refuse
from engine.conventions import Conventions
from engine.errors import Unsupported


def sizes(rank: int) -> Reader:
    """Return a reader of one positive integer, meant for every axis, or of a list of them."""

    def read(key: str, value: Any) -> tuple[int, ...]:
        items = list(value) if isinstance(value, list | tuple) else [value] * rank
        if len(items) != rank:
            raise refuse(key, f"a positive integer or a list of {rank}", value)
        return tuple(positive_integer(key, item) for item in items)

    return read


def data_format(key: str, value: Any) -> str:
    """Read "channels_last", or None for it."""
    if value == "channels_first":
        raise Unsupported(f"`{key}` = 'channels_first' is not supported; use 'channels_last'.")
    if value not in {None, "channels_last"}:
        raise refuse(key, "'channels_last'", value)
    return "channels_last"


padding = one_of("valid", "same")
causal_padding = one_of("valid", "same", "causal")


def lowered(read: Reader) -> Reader:
    """Return a reader that takes names in any case ("VALID")."""
    return lambda key, value: read(key, value.lower() if isinstance(value, str) else value)


def axis(key: str, value: Any) -> int:
    """Read one axis, alone or as a list of one."""
    if isinstance(value, list | tuple):
        if len(value) != 1:
            raise refuse(key, "one axis", value)
        value = value[0]
    return any_integer(key, value)


def axes(key: str, value: Any) -> tuple[int, ...]:
    """Read one axis or a list of them."""
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not items:
        raise refuse(key, "an axis or a list of axes", value)
    return tuple(any_integer(key, item) for item in items)


def axis_or_axes(key: str, value: Any) -> int | tuple[int, ...]:
    """Read one axis or a list of them; configs show which it was."""
    found = axes(key, value)
    return found if isinstance(value, list | tuple) else found[0]


def along(given: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a setting that ``axis_or_axes`` read."""
    return (given,) if isinstance(given, int) else given


def write_axes(value: tuple[int, ...], conventions: Conventions) -> int | list[int]:
    """Return axes as Keras prints them: one alone, or a list."""
    return value[0] if len(value) == 1 and not conventions.keras3 else list(value)
