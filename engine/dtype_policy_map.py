"""Keras 3's ``DTypePolicyMap`` as a frozen value: which policy each layer gets, by its path.

Source: ``keras.dtype_policies.DTypePolicyMap`` of Keras 3.15.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from engine.dtype_policy import FLOATX, DTypePolicy, by_name
from engine.errors import InvalidValue, Unsupported
from engine.patterns import SUPPORTED, Malformed, NotSupported, Patterns, is_plain, parse


@dataclass(frozen=True)
class DTypePolicyMap:
    """Policies by path: an exact path first, else the one key that matches as a regular expression, else a default.

    Attributes:
        default: the policy of paths that no key matches; None for the global policy of the moment.
        entries: policy by path or pattern, in order.
    """

    default: DTypePolicy | None = None
    entries: Mapping[str, DTypePolicy] = field(default_factory=lambda: MappingProxyType({}))

    def default_policy(self, global_name: str = FLOATX) -> DTypePolicy:
        """Return the policy of paths that no key matches, where the global policy has this name."""
        return by_name(global_name) if self.default is None else self.default

    def policy_of(self, path: str, global_name: str = FLOATX) -> DTypePolicy:
        """Return the policy of a path.

        Raises:
            InvalidValue: several keys match it, or a key is no regular expression.
            Unsupported: a key is one that is not followed here.
        """
        if path in self.entries:
            return self.entries[path]
        matching = self._matching(path)
        if len(matching) > 1:
            raise InvalidValue(
                f"Path '{path}' matches multiple dtype policy specification keys: {list(matching)}. Please make sure "
                "each path only matches at most one dtype policy specification key in the DTypePolicyMap.",
                code="ambiguous_path",
            )
        return self.entries[matching[0]] if matching else self.default_policy(global_name)

    @cached_property
    def _patterns(self) -> Patterns:
        """The keys that stand for more than themselves; others match the path that they are, and no other one."""
        return Patterns([key for key in self.entries if not is_plain(key)])

    def _matching(self, path: str) -> Sequence[str]:
        try:
            return self._patterns.matching(path)
        except (Malformed, NotSupported) as error:
            for key in self.entries:
                check_key(key)
            raise _unsupported("The keys of a DTypePolicyMap are", error) from error

    def having(self, key: str, policy: DTypePolicy) -> DTypePolicyMap:
        """Return the map with one more entry.

        Raises:
            InvalidValue: it has that key already.
        """
        if key in self.entries:
            raise InvalidValue(
                f"{key} already exist in the DTypePolicyMap with value {self.entries[key]}. Please make sure to not "
                "use duplicated keys.",
                code="duplicate_key",
            )
        return replace(self, entries=MappingProxyType({**self.entries, key: policy}))

    def without(self, key: str) -> DTypePolicyMap:
        """Return the map without an entry.

        Raises:
            InvalidValue: it has no such key.
        """
        if key not in self.entries:
            raise InvalidValue(f"The DTypePolicyMap has no key {key!r}.", code="unknown_key", original="KeyError")
        return replace(self, entries=MappingProxyType({k: v for k, v in self.entries.items() if k != key}))

    def name(self, global_name: str = FLOATX) -> str:
        """Return the name that Keras shows; it is not "mixed_float16" even where the default is."""
        return f"map_{self.default_policy(global_name).name}"


def check_key(key: str) -> None:
    """Make sure that a key is a path, or a regular expression that can be followed.

    Raises:
        InvalidValue: it is no regular expression; the message is Python's, which compiles it and never runs it.
        Unsupported: it looks around or refers back, or stands for too much.
    """
    try:
        parse(key)
    except Malformed as malformed:
        try:
            re.compile(key)
        except re.error as error:
            raise InvalidValue(str(error), code="invalid_pattern", original="re.error") from error
        raise _unsupported(f"The key {key!r} of a DTypePolicyMap is", malformed) from malformed
    except NotSupported as error:
        raise _unsupported(f"The key {key!r} of a DTypePolicyMap is", error) from error


def _unsupported(what: str, error: ValueError) -> Unsupported:
    text = f"{what} more than is matched here: {error}. Write paths of layers, or expressions of {SUPPORTED}."
    return Unsupported(text, code="unsupported_pattern")
