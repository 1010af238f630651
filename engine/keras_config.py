"""How Keras writes an object down, and how it reads it back: a class name and a config of keyword arguments.

Source: ``tensorflow.python.keras.utils.generic_utils`` of TF 2.4 (``deserialize_keras_object`` and
``class_and_config_for_serialized_keras_object``), whose errors these are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias, TypeVar

from engine.errors import InvalidType, InvalidValue, located

T = TypeVar("T")
Reader: TypeAlias = Callable[[Any], T]
"""Makes an object of the config of its class: a ``from_config``."""

_PASSIVE = "__passive_serialization__"
_ENVELOPE = ("class_name", "config")


def copied(config: Any) -> Any:
    """Return a copy of JSON, several times as fast as ``copy.deepcopy``, which looks for cycles and other classes."""
    if isinstance(config, dict):
        return {key: copied(item) for key, item in config.items()}
    return [copied(item) for item in config] if isinstance(config, list) else config


def serialized(value: Any) -> dict[str, Any]:
    """Return the dict that Keras writes for an object with a ``get_config``."""
    return {"class_name": type(value).__name__, "config": value.get_config()}


def deserialize(identifier: Any, readers: Mapping[str, Reader[T]], noun: str) -> T | None:
    """Return the object that a name or a ``{"class_name", "config"}`` dict describes, and None for None.

    Args:
        identifier: a class name (read with no arguments), a dict, or None; it is not changed.
        readers: the accepted class names and how each reads its config.
        noun: what to call such an object in messages, such as "loss scale".

    Raises:
        InvalidValue: an unknown name, a dict without the two keys, or another kind of value.
        InvalidType: a class name that is not a string, or what the reader refuses.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        return _reader(identifier, readers, noun)({})
    if not isinstance(identifier, dict):
        raise InvalidValue(f"Could not interpret serialized {noun}: {identifier}", code="not_serialized")
    if any(key not in identifier for key in _ENVELOPE):
        raise InvalidValue(f"Improper config format: {identifier}", code="improper_config")
    reader = _reader(identifier["class_name"], readers, noun)
    with located("config"):
        return reader(_config(identifier["config"], readers))


def check_arguments(
    owner: str, config: Any, *, required: Collection[str] = (), optional: Collection[str] = ()
) -> dict[str, Any]:
    """Return the config as keyword arguments of ``owner``, after checking its keys.

    Raises:
        InvalidType: not a dict, a key that ``owner`` does not take, or one that it needs and is missing.
    """
    accepted = [*required, *optional]
    if not isinstance(config, dict):
        raise InvalidType(f"The config of {owner} must be a dict of {accepted}, but got: {config!r}", code="not_a_dict")
    for key in config:
        if key not in accepted:
            raise InvalidType(
                f"{owner} got an unexpected argument {key!r}; accepted are {accepted}.",
                code="unexpected_argument",
                path=(str(key),),
            )
    missing = [key for key in required if key not in config]
    if missing:
        raise InvalidType(f"{owner} needs the arguments {missing}, which are missing.", code="missing_argument")
    return dict(config)


def as_dict(owner: str, config: Any) -> dict[str, Any]:
    """Return a copy of a config, from which arguments may be taken.

    Raises:
        InvalidType: it is no dict.
    """
    if not isinstance(config, dict):
        raise InvalidType(
            f"The config of {owner} must be a dict, but got: {config!r}", code="not_a_dict", original="AttributeError"
        )
    return dict(config)


def taken(arguments: dict[str, Any], key: str) -> Any:
    """Take an argument out of others, and return it.

    Raises:
        InvalidType: it is missing.
    """
    if key not in arguments:
        raise InvalidType(f"The config has no {key!r}, which it needs.", code="missing_argument", original="KeyError")
    return arguments.pop(key)


def to_float(name: str, value: Any) -> float:
    """Return an argument as Python's ``float`` converts it ("8" is 8.0).

    Raises:
        InvalidValue, InvalidType: it does not convert; the path is the argument's name.
    """
    try:
        return float(value)
    except OverflowError as error:
        raise InvalidValue(
            f"{name} must fit into a float, but it is too large.", path=(name,), original="OverflowError"
        ) from error
    except ValueError as error:
        raise InvalidValue(f"{name} must be a number, but got: {value!r}", path=(name,)) from error
    except TypeError as error:
        raise InvalidType(f"{name} must be a number, but got: {value!r}", path=(name,)) from error


def to_int(name: str, value: Any) -> int:
    """Return an argument as Python's ``int`` converts it ("3" and 3.9 are 3).

    Raises:
        InvalidValue, InvalidType: it does not convert; the path is the argument's name.
    """
    try:
        return int(value)
    except OverflowError as error:
        raise InvalidValue(f"{name} must be a finite number.", path=(name,), original="OverflowError") from error
    except ValueError as error:
        raise InvalidValue(f"{name} must be a whole number, but got: {value!r}", path=(name,)) from error
    except TypeError as error:
        raise InvalidType(f"{name} must be a whole number, but got: {value!r}", path=(name,)) from error


def _reader(class_name: Any, readers: Mapping[str, Reader[T]], noun: str) -> Reader[T]:
    if not isinstance(class_name, str):
        raise InvalidType(
            f"The class_name of a {noun} must be a string, but got: {class_name!r}", code="invalid_class_name"
        )
    if class_name not in readers:
        raise InvalidValue(f"Unknown {noun}: {class_name}", code=f"unknown_{noun.replace(' ', '_')}")
    return readers[class_name]


def _config(config: Any, readers: Mapping[str, Reader[T]]) -> Any:
    """Return the config with every entry marked as passively serialized read first, as Keras does."""
    if isinstance(config, list):  # The reader refuses it; Keras lets lists through for very old Sequential models.
        return config
    if not isinstance(config, dict):
        raise InvalidType(f"A config must be a dict, but got: {config!r}", code="not_a_dict", original="AttributeError")
    return {key: _entry(key, item, readers) for key, item in config.items()}


def _entry(key: str, item: Any, readers: Mapping[str, Reader[T]]) -> Any:
    if not (isinstance(item, dict) and _PASSIVE in item):
        return item
    with located(key):
        return deserialize(item, readers, "config_item")
