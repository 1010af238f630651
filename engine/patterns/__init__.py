"""Regular expressions of callers, matched in time linear in the text: no expression makes a matcher go back and forth.

``re`` tries one way after another, and an expression of twenty characters can make it try for days. Here an
expression is read into a tree (:mod:`engine.patterns.syntax`), built as an automaton (:mod:`engine.patterns.automaton`)
and followed along all ways at once. What has no automaton, such as a reference to a group, is refused.
"""

from engine.patterns.automaton import Patterns
from engine.patterns.syntax import SUPPORTED, Malformed, NotSupported, is_plain, parse

__all__ = ["SUPPORTED", "Malformed", "NotSupported", "Patterns", "is_plain", "parse"]
