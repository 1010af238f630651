"""Reading the settings of a config one by one, noting where each fact stands."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from engine.dtypes import FLOAT32
from engine.errors import InvalidType, InvalidValue
from engine.serialization.translate.setup import Path


class Fields:
    """The settings of one object in a config.

    Attributes:
        paths: fact -> where in the config it is said, for those that it says.
        ignored: path -> why it has no effect.
    """

    def __init__(self, owner: str, config: Any, accepted: Collection[str], prefix: str = "") -> None:
        """Take the settings of a config.

        Args:
            owner: what to call them in messages.
            config: a dict.
            accepted: its possible keys.
            prefix: where it stands.

        Raises:
            InvalidType: no dict, or a key that is not accepted.
        """
        self._prefix = prefix
        if not isinstance(config, Mapping):
            raise InvalidType(
                f"{owner} must be an object of {', '.join(accepted)}, but got: {config!r}",
                code="not_a_dict",
                path=self._located(),
            )
        for key in config:
            if key not in accepted:
                raise InvalidType(
                    f"{owner} has no setting {key!r}; accepted are {', '.join(accepted)}.",
                    code="unexpected_argument",
                    path=self._located(key),
                )
        self._config = config
        self.paths: dict[str, Path] = {}
        self.ignored: dict[str, str] = {}

    def _located(self, *keys: str) -> tuple[str, ...]:
        return (*filter(None, self._prefix.split(".")), *keys)

    def path(self, key: str) -> str:
        """Return the place of a setting."""
        return ".".join(self._located(key))

    def has(self, key: str) -> bool:
        """Whether the config says something other than null."""
        return self._config.get(key) is not None

    def says(self, fact: str, key: str) -> None:
        """Note that a setting says a fact, if the config has it."""
        if key in self._config:
            self.paths[fact] = self.path(key)

    def ignore(self, key: str, why: str) -> None:
        """Note that a setting has no effect, if the config has it."""
        if key in self._config:
            self.ignored[self.path(key)] = why

    def value(self, key: str, default: Any, fact: str = "") -> Any:
        """Return a setting of any type; null counts as left out."""
        if fact:
            self.says(fact, key)
        return self._config[key] if self.has(key) else default

    def flag(self, key: str, default: bool = False, fact: str = "") -> bool:
        """Return a setting that is true or false."""
        found = self.value(key, default, fact)
        if not isinstance(found, bool):
            raise self._refused(key, "true or false", found)
        return found

    def number(self, key: str, default: float, fact: str = "", *, low: float = 0.0, zero: bool = False) -> float:
        """Return a number above ``low``, or 0 with ``zero``, that float32 holds: no scale can be larger."""
        found = self.value(key, default, fact)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self._refused(key, "a number", found)
        if not (low < _finite(found) <= FLOAT32.max or (zero and found == 0)):
            expected = (
                f"a number above {low:g}{' or 0' if zero else ''} that float32 holds, so at most {FLOAT32.max:.8g}"
            )
            raise self._refused(key, expected, found)
        return float(found)

    def whole(self, key: str, default: int, fact: str = "", *, low: int = 0, high: float = math.inf) -> int:
        """Return an integer from ``low`` to ``high``; 2.0 is one."""
        found = self.value(key, default, fact)
        integral = isinstance(found, int | float) and not isinstance(found, bool) and _finite(found) == found // 1
        if not integral or not low <= found <= high:
            limit = f"an integer of at least {low}" if high == math.inf else f"an integer from {low} to {high}"
            raise self._refused(key, limit, found)
        return int(found)

    def one_of(self, key: str, default: str, accepted: Collection[str], fact: str = "") -> str:
        """Return one of the accepted words."""
        found = self.value(key, default, fact)
        if not isinstance(found, str) or found not in accepted:
            raise self._refused(key, f"one of {', '.join(accepted)}", found)
        return found

    def inner(self, key: str) -> Any:
        """Return an object inside; an empty one where there is none."""
        return self._config[key] if self.has(key) else {}

    def _refused(self, key: str, expected: str, found: Any) -> InvalidValue:
        return InvalidValue(f"{key!r} must be {expected}, but got: {found!r}", path=self._located(key))


def _finite(value: float) -> float:
    """Return a number, or nan in place of one that no float holds."""
    try:
        return value if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan
