"""Automata of regular expressions: all ways through a text are followed at once, and each step is remembered.

Source: K. Thompson, "Regular Expression Search Algorithm", Communications of the ACM 11 (1968).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.patterns.syntax import MOST_STATES, Character, Choice, Edge, Node, NotSupported, Repeat, parse, size_of
from engine.patterns.syntax import Sequence as Row

MOST_WORK = 1_000_000
"""States that may be looked at for all texts together; what was met before costs nothing."""

States = frozenset[int]


@dataclass(frozen=True, slots=True)
class _State:
    """A state of the automaton.

    Attributes:
        test: what leads on from here: a character, an edge of the text, or None for nothing at all.
        following: where to.
        accepts: number of the expression that ends here, or None.
    """

    test: Character | Edge | None
    following: tuple[int, ...]
    accepts: int | None = None


class Patterns:
    """Several regular expressions, and which of them match a text as a whole.

    Args:
        expressions: of Python's ``re``, without what looks around or refers back.

    Raises:
        Malformed: an expression is none.
        NotSupported: one cannot be followed by an automaton, or all together need too large a one.
    """

    def __init__(self, expressions: Sequence[str]) -> None:
        self._expressions = tuple(expressions)
        trees = [parse(expression) for expression in expressions]
        if sum(map(size_of, trees)) > MOST_STATES:
            raise NotSupported("all of them together stand for too many characters")
        self._states: list[_State] = []
        starts = [self._built(tree, self._new(_State(None, (), number))) for number, tree in enumerate(trees)]
        self._work = 0
        self._first = self._closure(starts, {"start"})
        self._steps: dict[tuple[States, str], States] = {}

    def matching(self, text: str) -> tuple[str, ...]:
        """Return the expressions that match the whole text, in their order.

        Raises:
            NotSupported: the texts met so far took too much work.
        """
        here = self._first
        for letter in text:
            step = (here, letter)
            if step not in self._steps:
                self._steps[step] = self._step(here, letter)
            here = self._steps[step]
            if not here:
                return ()
        edges = {"end"} if text else {"start", "end"}
        ended = (self._states[state].accepts for state in self._closure(here, edges))
        return tuple(self._expressions[number] for number in sorted(number for number in ended if number is not None))

    def _step(self, here: States, letter: str) -> States:
        self._count(len(here))
        reached = [
            state.following[0]
            for state in map(self._states.__getitem__, here)
            if isinstance(state.test, Character) and state.test.accepts(letter)
        ]
        return self._closure(reached, set())

    def _closure(self, states: Iterable[int], edges: set[str]) -> States:
        """Return the states that are reached without a character, where these edges of the text are."""
        found, waiting = set(states), list(states)
        while waiting:
            state = self._states[waiting.pop()]
            if state.test is None or (isinstance(state.test, Edge) and state.test.at in edges):
                new = [following for following in state.following if following not in found]
                found.update(new)
                waiting.extend(new)
        self._count(len(found))
        return frozenset(found)

    def _count(self, looked_at: int) -> None:
        self._work += looked_at
        if self._work > MOST_WORK:
            raise NotSupported("matching it takes too many steps")

    def _new(self, state: _State) -> int:
        self._states.append(state)
        return len(self._states) - 1

    def _built(self, node: Node, following: int) -> int:
        """Add the states of a node; return the first one."""
        match node:
            case Row(parts):
                for part in reversed(parts):
                    following = self._built(part, following)
                return following
            case Choice(parts):
                return self._new(_State(None, tuple(self._built(part, following) for part in parts)))
            case Repeat(part, least, most):
                return self._repeated(part, least, most, following)
            case Character() | Edge():
                return self._new(_State(node, (following,)))

    def _repeated(self, part: Node, least: int, most: int | None, following: int) -> int:
        if most is None:
            loop = self._new(_State(None, ()))
            self._states[loop] = _State(None, (self._built(part, loop), following))
            following = loop
        else:
            end = following
            for _ in range(most - least):
                following = self._new(_State(None, (self._built(part, following), end)))
        for _ in range(least):
            following = self._built(part, following)
        return following
