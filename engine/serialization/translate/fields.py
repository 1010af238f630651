"""Reading the settings of a config one by one, noting where each fact stands."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeAlias

from engine.dtypes import FLOAT32
from engine.errors import EngineError, InvalidType, InvalidValue
from engine.serialization.translate.setup import Path, Reading, Remark, Setup

Texts: TypeAlias = Literal["refused", "argparse", "pydantic"]
"""What a system does with a text in place of a number or of true and false."""

_TRUE = ("true", "t", "yes", "y", "on", "1")
_FALSE = ("false", "f", "no", "n", "off", "0")


class Fields:
    """The settings of one object in a config.

    Attributes:
        paths: fact -> where in the config it is said, for those that it says.
        ignored: path -> why it has no effect.
        beside: path -> what it is about, where it acts and is no setting of precision.
        further: path -> what it says of precision, where no fact of a setup holds it.
        remarks: what to know of settings that were read.
    """

    def __init__(
        self,
        owner: str,
        config: Any,
        accepted: Collection[str],
        prefix: str = "",
        *,
        texts: Texts = "refused",
        names: Mapping[str, str] | None = None,
    ) -> None:
        """Take the settings of a config.

        Args:
            owner: what to call them in messages.
            config: a dict.
            accepted: its possible keys.
            prefix: where it stands.
            texts: whether numbers and flags may be texts, as on a command line.
            names: for keys that the config writes otherwise, its path from ``prefix``.

        Raises:
            InvalidType: no dict, or a key that is not accepted.
        """
        self._prefix = prefix
        self._names = names or {}
        self._texts = texts
        self._owner = owner
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
        self.beside: dict[str, str] = {}
        self.further: dict[str, str] = {}
        self.remarks: list[Remark] = []
        self._seen: set[str] = set()

    def _located(self, *keys: str) -> tuple[str, ...]:
        inside = (part for key in keys for part in self._names.get(key, key).split("."))
        return tuple(filter(None, (*self._prefix.split("."), *inside)))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as they are given."""
        return dict(self._config)

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

    def ignore_all(self, why: str) -> None:
        """Note that no setting here has an effect, and that none says a fact."""
        self.paths.clear()
        for key in self._config:
            self.ignore(key, why)

    def aside(self, key: str, about: str) -> None:
        """Note that a setting acts, though not on precision, if the config has it."""
        if key in self._config:
            self.beside[self.path(key)] = about

    def adds(self, key: str, about: str) -> None:
        """Note that a setting says something of precision that no fact holds, if the config has it."""
        if key in self._config:
            self.further[self.path(key)] = about

    def remark(self, key: str, code: str, text: str) -> None:
        """Note what to know of a setting."""
        self.remarks.append(Remark(code, text, self._located(key) if key else self._located()))

    def value(self, key: str, default: Any, fact: str = "") -> Any:
        """Return a setting of any type; null counts as left out."""
        if fact:
            self.says(fact, key)
        self._seen.add(key)
        return self._config[key] if self.has(key) else default

    def flag(self, key: str, default: bool = False, fact: str = "") -> bool:
        """Return a setting that is true or false."""
        found = self.value(key, default, fact)
        if self._texts != "refused":
            found = _flag_of(found)
        if not isinstance(found, bool):
            raise self.refused(key, "true or false", found)
        return found

    def number(self, key: str, default: float, fact: str = "", *, low: float = 0.0, zero: bool = False) -> float:
        """Return a number above ``low``, or 0 with ``zero``, that float32 holds: no scale can be larger."""
        given = self.value(key, default, fact)
        found = self._number_of(given)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise self.refused(key, "a number", given)
        if not (low < _finite(found) <= FLOAT32.max or (zero and found == 0)):
            expected = (
                f"a number above {low:g}{' or 0' if zero else ''} that float32 holds, so at most {FLOAT32.max:.8g}"
            )
            raise self.refused(key, expected, given)
        return float(found)

    def whole(self, key: str, default: int, fact: str = "", *, low: float = 0, high: float = math.inf) -> int:
        """Return an integer from ``low`` to ``high``; 2.0 is one."""
        given = self.value(key, default, fact)
        found = self._number_of(given, integer=True)
        integral = isinstance(found, int | float) and not isinstance(found, bool) and _finite(found) == found // 1
        if not integral or not low <= found <= high:
            limits = {
                (True, True): "an integer",
                (True, False): f"an integer of at most {high}",
                (False, True): f"an integer of at least {low}",
                (False, False): f"an integer from {low} to {high}",
            }
            raise self.refused(key, limits[low == -math.inf, high == math.inf], given)
        return int(found)

    def one_of(self, key: str, default: str, accepted: Collection[str], fact: str = "") -> str:
        """Return one of the accepted words."""
        found = self.value(key, default, fact)
        if not isinstance(found, str) or found not in accepted:
            raise self.refused(key, f"one of {', '.join(accepted)}", found)
        return found

    def dtype(self, key: str, default: str | None, names: Mapping[str, str], fact: str = "") -> str | None:
        """Return the dtype that one of the accepted words stands for."""
        found = self.value(key, None, fact)
        if found is None:
            return default
        if not isinstance(found, str) or found not in names:
            raise self.refused(key, f"one of {', '.join(names)}", found)
        return names[found]

    def inner(self, key: str) -> Any:
        """Return an object inside; an empty one where there is none."""
        return self._config[key] if self.has(key) else {}

    def reading(self, setup: Setup, *others: Fields) -> Reading:
        """Return what was read, here and in other objects of the same config."""
        every = (self, *others)
        return Reading(
            setup,
            paths={fact: path for fields in every for fact, path in fields.paths.items()},
            ignored={path: why for fields in every for path, why in fields.ignored.items()},
            beside={path: about for fields in every for path, about in fields.beside.items()},
            further={path: about for fields in every for path, about in fields.further.items()},
            remarks=tuple(remark for fields in every for remark in fields.remarks),
            seen=frozenset(path for fields in every for path in fields.seen()),
        )

    def seen(self) -> frozenset[str]:
        """Return the places of the settings that were looked at, those that are null with them."""
        null = {key for key, value in self._config.items() if value is None}
        return frozenset(map(self.path, self._seen | null))

    def placed(self, error: EngineError, names: Mapping[str, str]) -> EngineError:
        """Return an error of a rule, at the setting that its argument came from.

        Args:
            error: its path is the name of an argument.
            names: argument -> setting.
        """
        setting = names.get(str(error.path[0]), "") if error.path else ""
        where = self._located(setting) if setting else self._located()
        return InvalidValue(error.message, code=error.code, path=where)

    def refused(self, key: str, expected: str, found: Any) -> InvalidValue:
        """Return the error for a setting that is not as expected."""
        name = self.path(key).rpartition(".")[2]
        return InvalidValue(f"{name!r} must be {expected}, but got: {found!r}", path=self._located(key))

    def _number_of(self, value: Any, *, integer: bool = False) -> Any:
        """Return the number that a text stands for, where the system reads such texts."""
        if self._texts == "refused" or not isinstance(value, str):
            return value
        try:
            return int(value)
        except ValueError:
            if integer and self._texts == "argparse":
                return value
        try:
            return float(value)
        except ValueError:
            return value


def _flag_of(value: Any) -> Any:
    """Return true or false for the texts and numbers that stand for them."""
    word = value.strip().lower() if isinstance(value, str) else str(value)
    if isinstance(value, bool) or value is None or not isinstance(value, str | int | float):
        return value
    if word in (*_TRUE, "1.0"):
        return True
    return False if word in (*_FALSE, "0.0") else value


def _finite(value: float) -> float:
    """Return a number, or nan in place of one that no float holds."""
    try:
        return value if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan
