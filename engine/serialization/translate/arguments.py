"""Command-line arguments, in all the forms in which configs hold them, among arguments of other kinds."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import InvalidType, InvalidValue
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import Reading, Setup


@dataclass(frozen=True)
class Arguments:
    """Arguments of a system.

    Attributes:
        fields: those that are known.
        given: all of them by name, as they were written; null where the config holds them so itself.
    """

    fields: Fields
    given: Any

    def reading(self, setup: Setup, *others: Fields) -> Reading:
        """Return what was read, here and in other objects of the same config."""
        return replace(self.fields.reading(setup, *others), given=self.given)


def arguments_of(owner: str, config: Any, accepted: Collection[str], *, groups: Collection[str] = ()) -> Arguments:
    """Return the arguments of a config.

    Args:
        owner: what to call them in messages.
        config: an object of arguments, by name or by flag, some of them in groups; or a command line, as a text or
            as a list of words.
        accepted: the names that are known, with underscores.
        groups: paths of objects in which arguments may stand.

    Raises:
        InvalidType, InvalidValue: no such config, or an argument that it holds twice with different values.
    """
    line = isinstance(config, str | list)
    given = _by_flag(owner, config) if line else config
    if not isinstance(given, Mapping):
        raise InvalidType(
            f"{owner} must be an object of {', '.join(accepted)} among others, a text or a list of words, "
            f"but got: {given!r}",
            code="not_a_dict",
        )
    known: dict[str, Any] = {}
    names: dict[str, str] = {}
    copies: dict[str, str] = {}
    for path, key, value in _everywhere(given, groups):
        name = key.lstrip("-").replace("-", "_")
        if name not in accepted:
            continue
        if name in known and known[name] == value:
            copies[path] = f"a copy of {names[name]!r}"
            continue
        if name in known:
            text = f"{owner} has {names[name]!r} and {path!r}, which are the same: leave one of them out."
            raise InvalidValue(text, code="given_twice", path=tuple(path.split(".")))
        known[name], names[name] = value, path
    fields = Fields(owner, known, accepted, texts="argparse", names=names)
    fields.beside |= copies
    return Arguments(fields, given if line else None)


def _everywhere(given: Mapping[str, Any], groups: Collection[str]) -> Iterator[tuple[str, str, Any]]:
    """Yield path, key and value of every argument."""
    for key, value in given.items():
        yield key, key, value
    for group in groups:
        inside: Any = given
        for part in group.split("."):
            inside = inside.get(part) if isinstance(inside, Mapping) else None
        for key, value in inside.items() if isinstance(inside, Mapping) else ():
            yield f"{group}.{key}", key, value


def _by_flag(owner: str, config: str | list[Any]) -> dict[str, Any]:
    """Return the arguments of a command line by flag; a flag without a value is true, the last of several counts."""
    try:
        words = shlex.split(config, comments=True) if isinstance(config, str) else [str(word) for word in config]
    except ValueError as error:
        raise InvalidValue(f"{owner} are no command line: {error}", code="not_a_command_line") from error
    if not any(word.startswith("--") for word in words):
        text = f"{owner} as a text must be a command line with flags such as --fp16, but got: {config!r}"
        raise InvalidValue(text, code="not_a_command_line")
    found: dict[str, list[str]] = {}
    flag = ""
    for word in words:
        if word.startswith("--"):
            flag, told, value = word.partition("=")
            found[flag] = [value] if told else []
        elif flag:
            found[flag].append(word)
    return {flag: " ".join(values) if values else True for flag, values in found.items()}
