"""Settings as the environment gives them: what is wrong with one is said in a sentence."""

import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

SettingsT = TypeVar("SettingsT", bound=BaseSettings)
_SECRET = ("url",)
"""Ends of the names of settings whose values may hold a password."""


_FOLLOWING = frozenset({"default_factory_not_called"})
"""Faults that only follow from another."""


class SettingsRefused(Exception):
    """Variables that mean nothing; `str(error)` names each, what it is and what is accepted."""


def settings_of(kind: type[SettingsT], **given: Any) -> SettingsT:
    """Return the settings that the environment makes.

    Args:
        kind: of settings.
        given: values that count more than the environment.

    Raises:
        SettingsRefused: a variable has a value that is not accepted.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        raise SettingsRefused(
            " ".join(_sentence(prefix, fault) for fault in error.errors() if fault["type"] not in _FOLLOWING)
        ) from error


def settings_or_exit(kind: type[SettingsT], **given: Any) -> SettingsT:
    """The same for a program: it ends with the sentence and exit code 1."""
    try:
        return settings_of(kind, **given)
    except SettingsRefused as error:
        sys.exit(f"halfstep: {error}")


def _sentence(prefix: str, fault: Mapping[str, Any]) -> str:
    path = [str(part) for part in fault["loc"]]
    variable = prefix + "__".join(path).upper() if path and not path[0].startswith(prefix) else path[0]
    secret = path and path[-1].lower().endswith(_SECRET)
    given = "" if secret else f", which is {str(fault['input'])[:80]!r},"
    accepted = str(fault["msg"]).removeprefix("Value error, ")
    accepted = accepted.replace("Input should be ", "accepted is ", 1).partition(", unable")[0]
    return f"The setting {variable}{given} cannot be used: {accepted}."
