"""Reading the part of Python's regular expressions that an automaton can follow.

`$` is the end of the text alone; in Python a last newline may come behind it.

Source: "Regular Expression Syntax" in the documentation of Python's ``re``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

DEEPEST = 50
"""Groups within each other."""
MOST_STATES = 4096
"""Characters that the expressions of one map may stand for, repetitions written out."""
_SPECIAL = frozenset(".^$*+?{}[]\\|()")
SUPPORTED = "characters, `.`, `[...]`, `\\d`, `\\w`, `\\s`, groups, `|`, `*`, `+`, `?`, `{m,n}`, `^` and `$`"


class NotSupported(ValueError):
    """An expression that no automaton can follow, or only one that is too large."""


class Malformed(ValueError):
    """No regular expression."""


@dataclass(frozen=True)
class Character:
    """One character.

    Attributes:
        ranges: first and last of those that are meant.
        kinds: tests for further ones.
        negated: whether all others are meant.
    """

    ranges: tuple[tuple[str, str], ...] = ()
    kinds: tuple[Callable[[str], bool], ...] = ()
    negated: bool = False

    def accepts(self, character: str) -> bool:
        """Whether the character is meant."""
        found = any(low <= character <= high for low, high in self.ranges)
        return (found or any(kind(character) for kind in self.kinds)) != self.negated


@dataclass(frozen=True)
class Edge:
    """The beginning or the end of the text."""

    at: Literal["start", "end"]


@dataclass(frozen=True)
class Sequence:
    """One node after another."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several nodes."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """A node several times.

    Attributes:
        part: the node.
        least: how often.
        most: how often; None for any number.
    """

    part: Node
    least: int
    most: int | None


Node: TypeAlias = Character | Edge | Sequence | Choice | Repeat


def is_plain(expression: str) -> bool:
    """Whether an expression stands for nothing but itself."""
    return _SPECIAL.isdisjoint(expression)


def size_of(node: Node) -> int:
    """Return how many states an automaton of the node has, about; numbers of any length are only counted."""
    match node:
        case Sequence(parts) | Choice(parts):
            return 1 + sum(map(size_of, parts))
        case Repeat(part, least, most):
            return 1 + size_of(part) * max(least, most or least + 1)
        case _:
            return 1


def parse(expression: str) -> Node:
    """Return the tree of an expression.

    Raises:
        Malformed: it is none.
        NotSupported: no automaton can follow it, or only one of more than `MOST_STATES` states.
    """
    reader = _Reader(expression)
    node = reader.choice(0)
    if not reader.ended:
        raise Malformed("unbalanced parenthesis")
    if size_of(node) > MOST_STATES:
        raise NotSupported("it stands for too many characters, its repetitions written out")
    return node


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _opposite(kind: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda character: not kind(character)


_KINDS: Mapping[str, Callable[[str], bool]] = {
    "d": str.isdecimal,
    "w": _is_word,
    "s": str.isspace,
    "D": _opposite(str.isdecimal),
    "W": _opposite(_is_word),
    "S": _opposite(str.isspace),
}
_ESCAPED: Mapping[str, str] = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_EDGES: Mapping[str, Edge] = {"^": Edge("start"), "$": Edge("end")}
_EDGE_ESCAPES: Mapping[str, Edge] = {"A": Edge("start"), "Z": Edge("end")}
_TIMES: Mapping[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_COUNTS = re.compile(r"\{(?!\})([0-9]{0,9})(,?)([0-9]{0,9})\}")
_GROUP = re.compile(r"\(\?(?::|P<[A-Za-z_][A-Za-z0-9_]*>)")
_HEXADECIMAL: Mapping[str, re.Pattern[str]] = {"x": re.compile("[0-9a-fA-F]{2}"), "u": re.compile("[0-9a-fA-F]{4}")}


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, expression: str) -> None:
        self._text = expression
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at == len(self._text)

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        if self.ended:
            raise Malformed("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _found(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def choice(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise NotSupported(f"groups stand more than {DEEPEST} deep in each other")
        parts = [self._sequence(depth)]
        while self._found("|"):
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while not self.ended and self._next() not in "|)":
            parts.append(self._repeated(self._atom(depth)))
        return Sequence(tuple(parts))

    def _repeated(self, node: Node) -> Node:
        times = self._times()
        if times is None:
            return node
        if isinstance(node, Edge):
            raise Malformed("nothing to repeat")
        if self._found("+"):
            raise NotSupported("it has a possessive repetition")
        self._found("?")  # which of several matches is found matters to nobody who only asks whether there is one
        if self._times() is not None:
            raise Malformed("multiple repeat")
        return Repeat(node, *times)

    def _times(self) -> tuple[int, int | None] | None:
        if self._next() in _TIMES and not self.ended:
            return _TIMES[self._take()]
        counts = _COUNTS.match(self._text, self._at)
        if counts is None:
            return None
        self._at = counts.end()
        least = int(counts[1] or 0)
        most = (int(counts[3]) if counts[3] else None) if counts[2] else least
        if most is not None and most < least:
            raise Malformed("min repeat greater than max repeat")
        return least, most

    def _atom(self, depth: int) -> Node:
        letter = self._take()
        if letter == "(":
            return self._group(depth)
        if letter == "[":
            return self._set()
        if letter == "\\":
            return self._escape()
        if letter in _EDGES:
            return _EDGES[letter]
        if letter in _TIMES or (letter == "{" and _COUNTS.match(self._text, self._at - 1)):
            raise Malformed("nothing to repeat")
        return Character((("\n", "\n"),), negated=True) if letter == "." else _exactly(letter)

    def _group(self, depth: int) -> Node:
        if self._next() == "?":
            opening = _GROUP.match(self._text, self._at - 1)
            if opening is None:
                raise NotSupported("it has a group that looks around, refers back or sets flags")
            self._at = opening.end()
        node = self.choice(depth + 1)
        if not self._found(")"):
            raise Malformed("missing ), unterminated subpattern")
        return node

    def _escape(self) -> Node:
        letter = self._take()
        if letter in _EDGE_ESCAPES:
            return _EDGE_ESCAPES[letter]
        if letter in _KINDS:
            return Character(kinds=(_KINDS[letter],))
        return _exactly(self._escaped(letter))

    def _escaped(self, letter: str) -> str:
        """Return the character that an escape stands for, whose letter was taken."""
        if letter in _HEXADECIMAL:
            digits = _HEXADECIMAL[letter].match(self._text, self._at)
            if digits is None:
                raise Malformed("incomplete escape")
            self._at = digits.end()
            return chr(int(digits[0], 16))
        if letter in _ESCAPED:
            return _ESCAPED[letter]
        if letter.isascii() and letter.isalnum():
            raise NotSupported(f"it has the escape \\{letter}")
        return letter

    def _set(self) -> Node:
        negated = self._found("^")
        ranges: list[tuple[str, str]] = []
        kinds: list[Callable[[str], bool]] = []
        first = True
        while first or not self._found("]"):
            first = False
            low = self._member()
            high = low
            if self._next() == "-" and self._text[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._take()
                high = self._member()
            if isinstance(low, str) and isinstance(high, str) and low <= high:
                ranges.append((low, high))
            elif isinstance(low, str) or high is not low:
                raise Malformed("bad character range")
            else:
                kinds.append(low)
        return Character(tuple(ranges), tuple(kinds), negated)

    def _member(self) -> str | Callable[[str], bool]:
        letter = self._take()
        if letter == "[" or self._text.startswith(("--", "&&", "~~", "||"), self._at - 1):
            raise NotSupported("it has a set in which another one may be meant")
        if letter != "\\":
            return letter
        letter = self._take()
        return _KINDS[letter] if letter in _KINDS else self._escaped(letter)


def _exactly(letter: str) -> Character:
    return Character(((letter, letter),))
