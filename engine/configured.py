"""Frozen objects that are their own config: one declaration per setting.

A setting is a dataclass field with a reader. The reader checks and converts a value, whether it comes from a Python
call or from a config, so both give the same errors; the writer turns it back into what ``get_config`` returns.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from engine.conventions import TF24, Conventions
from engine.errors import EngineError, InvalidType, InvalidValue, Unsupported

Reader = Callable[[str, Any], Any]
Writer = Callable[[Any, Conventions], Any]


def _as_is(value: Any, conventions: Conventions) -> Any:
    return list(value) if isinstance(value, tuple) else value


def setting(
    read: Reader, default: Any = dataclasses.MISSING, *, write: Writer = _as_is, only: str | None = None
) -> Any:
    """Declare a field of a :class:`Configured` dataclass.

    Args:
        read: ``(key, value) -> value``; raises InvalidValue or InvalidType; leaves its own results unchanged.
        default: value when the config does not name it; without one the setting is required.
        write: ``(value, conventions) -> JSON value`` for ``get_config``.
        only: "tf2.4", "tf_keras", "keras2" (both of these), "keras3" or "newer" (all but TF 2.4) where just those lines
            write it (it is read from all, and written by all if set); "set" where it is written only if it differs
            from the default; "keras2 set" where it says nothing new, and Keras 3 does not know it: as "set", but never
            for Keras 3; "tf_keras alone" where the other lines never write it.
    """
    return dataclasses.field(default=default, metadata={"read": read, "write": write, "only": only})


class Configured:
    """Base of layers, losses, metrics, optimizers, regularizers: dataclasses whose fields are their config."""

    class_name: ClassVar[str]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.class_name = cls.__dict__.get("class_name", cls.__name__)

    def __post_init__(self) -> None:
        for key, item in _settings(type(self)).items():
            try:
                value = item.metadata["read"](key, getattr(self, key))
            except EngineError as error:
                raise error.at(key) from None
            object.__setattr__(self, key, value)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **extra: Any) -> Self:
        """Return the object that a config describes.

        Args:
            config: what ``get_config`` returns, in Keras 2's or Keras 3's spelling; keys may be missing.
            extra: fields that are not settings, such as ``conventions``.

        Raises:
            InvalidType: a key is unknown or a required one is missing.
            InvalidValue: a value is not accepted. The error's ``path`` is the key.
        """
        settings = _settings(cls)
        for key in config:
            if key not in settings:
                raise InvalidType(_unknown_key(cls.class_name, key, settings), code="unknown_key", path=(key,))
        for key, item in settings.items():
            if item.default is dataclasses.MISSING and key not in config:
                message = f"{cls.class_name} needs `{key}`, which its config does not have. Add it."
                raise InvalidType(message, code="missing_key", path=(key,))
        return cls(**dict(config), **extra)

    def get_config(self, conventions: Conventions = TF24) -> dict[str, Any]:
        """Return the settings as JSON values, in the spelling and order of a line of Keras."""
        lines = _LINES[conventions.name]
        config = {}
        for key, item in _settings(type(self)).items():
            value = getattr(self, key)
            only = item.metadata["only"]
            unknown = conventions.name in _STRANGERS.get(only, ())
            if only in lines or (value != item.default and not unknown):
                config[key] = item.metadata["write"](value, conventions)
        return config


_LINES: Mapping[str, tuple[str | None, ...]] = {
    "tf2.4": (None, "tf2.4", "keras2"),
    "tf_keras": (None, "tf_keras", "keras2", "newer", "tf_keras alone"),
    "keras3": (None, "keras3", "newer"),
}
"""The values of ``only`` that each line of Keras writes."""
_STRANGERS: Mapping[str | None, tuple[str, ...]] = {"keras2 set": ("keras3",), "tf_keras alone": ("tf2.4", "keras3")}
"""The lines that refuse a setting, and for which it is never written."""


_LACKING: Mapping[str, tuple[str, ...]] = {"tf2.4": ("newer", "keras3"), "tf_keras": ("keras3",), "keras3": ()}
"""The values of ``only`` of settings that a line does not know; Keras 3 knows several that it does not write."""


def unknown_settings(item: Configured, conventions: Conventions) -> tuple[str, ...]:
    """Return the settings that were changed from their defaults and that a line of Keras does not know."""
    lacking = _LACKING[conventions.name]
    found = _settings(type(item)).items()
    return tuple(key for key, held in found if held.metadata["only"] in lacking and getattr(item, key) != held.default)


def _settings(cls: type) -> dict[str, dataclasses.Field[Any]]:
    if not dataclasses.is_dataclass(cls):
        return {}
    return {item.name: item for item in dataclasses.fields(cls) if "read" in item.metadata}


def _unknown_key(class_name: str, key: str, settings: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key, settings, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{class_name} has no setting {key!r}.{hint} Accepted are: {', '.join(settings)}."


def choose(family: str, table: Mapping[str, Any], name: str) -> Any:
    """Return the entry of a table of classes or functions.

    Raises:
        Unsupported: there is no entry of that name; the message lists the nearest and all accepted ones.
    """
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        message = f"Unknown {family}: {name!r}.{hint} Accepted are: {', '.join(table)}."
        raise Unsupported(message, code=f"unknown_{family.replace(' ', '_')}")
    return table[name]


def split_serialized(family: str, value: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return (class_name, config) of a serialized object of Keras 2 or Keras 3.

    Raises:
        InvalidValue: the dict is not of the form ``{"class_name": ..., "config": {...}}``.
    """
    name, config = value.get("class_name"), value.get("config", {})
    if not isinstance(name, str):
        message = f'A serialized {family} must be {{"class_name": ..., "config": {{...}}}}, got {shown(value)}.'
        raise InvalidValue(message, code="malformed", path=("class_name",))
    if not isinstance(config, Mapping):
        message = f"The config of {family} {name!r} must be an object, got {shown(config)}."
        raise InvalidType(message, code="malformed", path=("config",))
    return name.rsplit(">", 1)[-1], config


def serialized(item: Configured, conventions: Conventions, module: str) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of Keras 2, or the four-key form of Keras 3."""
    short = {"class_name": item.class_name, "config": item.get_config(conventions)}
    return {"module": module, **short, "registered_name": None} if conventions.keras3 else short


def shown(value: Any, limit: int = 80) -> str:
    """Return a value's repr, shortened so that a message stays readable."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def refuse(key: str, expected: str, value: Any) -> InvalidValue:
    """Return the error for a setting whose value is not accepted."""
    return InvalidValue(f"Received an invalid value for `{key}`, expected {expected}, got {shown(value)}.")


def snake_case(name: str) -> str:
    """Return what Keras makes of a class name: "RMSprop" becomes "rm_sprop"."""
    spaced = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", spaced).lower()


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def integer(low: int | None = None, expected: str = "an integer") -> Reader:
    """Return a reader of integers not below `low`; integral floats such as 32.0 are taken, as Keras takes them."""

    def read(key: str, value: Any) -> int:
        whole = isinstance(value, float) and value.is_integer()
        if not (_is_integer(value) or whole) or (low is not None and value < low):
            raise refuse(key, expected, value)
        return int(value)

    return read


positive_integer = integer(1, "a positive integer")
any_integer = integer()


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)  # numpy's refuses Python ints beyond int64
    except OverflowError:
        return False


def number(low: float | None = None, high: float | None = None, expected: str = "a number") -> Reader:
    """Return a reader of finite numbers in [low, high]."""

    def read(key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise refuse(key, expected, value)
        if not _finite(value) or (low is not None and value < low) or (high is not None and value > high):
            raise refuse(key, expected, value)
        return float(value)

    return read


any_number = number()
not_negative = number(0.0, expected="a number not below 0")
fraction = number(0.0, 1.0, "a number in [0, 1]")


def boolean(key: str, value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool | np.bool_):
        raise refuse(key, "true or false", value)
    return bool(value)


def text(key: str, value: Any) -> str:
    """Read a string that is not empty."""
    if not isinstance(value, str) or not value:
        raise refuse(key, "a string that is not empty", value)
    return value


def one_of(*accepted: Any) -> Reader:
    """Return a reader of one of the accepted values."""

    def read(key: str, value: Any) -> Any:
        if not any(value == item and type(value) is type(item) for item in accepted):
            raise refuse(key, f"one of {', '.join(map(repr, accepted))}", value)
        return value

    return read


def optional(read: Reader) -> Reader:
    """Return a reader that lets None through."""

    def maybe(key: str, value: Any) -> Any:
        return None if value is None else read(key, value)

    return maybe


def unsupported_unless(*accepted: Any, why: str = "this engine does not have it yet") -> Reader:
    """Return a reader for settings that Keras has and this engine has not: only the accepted values pass."""

    def read(key: str, value: Any) -> Any:
        if value not in accepted:
            allowed = " or ".join(map(repr, accepted))
            raise Unsupported(f"`{key}` = {shown(value)} is not supported: {why}. Leave it out or use {allowed}.")
        return value

    return read


def numbers(key: str, value: Any) -> tuple[float, ...]:
    """Read a list of finite numbers; whether one was an integer is kept, because configs show it."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise refuse(key, "a list of numbers", value)
    return tuple(int(item) if _is_integer(item) else any_number(key, item) for item in value)


def dimensions(key: str, value: Any) -> tuple[int | None, ...]:
    """Read a shape: a list of positive integers or null."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise refuse(key, "a list of positive integers or null", value)
    for size in value:
        if size is not None and not (_is_integer(size) and size > 0):
            raise refuse(key, "a list of positive integers or null", value)
    return tuple(None if size is None else int(size) for size in value)
