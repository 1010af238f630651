"""Expressions of callers match what Python's would, in as much work as there is text."""

import re
from functools import partial
from random import Random

import pytest

from engine.dtype_policy import DTypePolicy
from engine.dtype_policy_map import DTypePolicyMap
from engine.errors import Unsupported
from engine.patterns import Malformed, NotSupported, Patterns, is_plain
from tests.work import calls_of

HALF = DTypePolicy("float16")
TEXTS = (
    *("", "a", "b", "ab", "ba", "aa", "aab", "aaab", "a/b", "a1", "_", "1", "é", "a-b", "A", "]", "{", "a{", "}", "/"),
    *("^", "-", ",", "\\", ".", "a.b", "encoder/dense_1", "decoder/dense_10", "block_3/attention/dense"),
)
EXPRESSIONS = (
    *("", "a", "a|b", "(a|b)*", "(?:a|ab)(?:b|)", "a?", "a*b", "a+b?", "a{2}", "a{2,}b", "a{,2}", "a{1,3}b", "(a{2})*"),
    *(".", ".*", "a.b", "[ab]+", "[^ab]", "[a-c_]*", "[]]", "[^]]", "[a-]", "[-a]", r"[\d_]+", r"\d", r"\w+", r"\s*"),
    *(r"\D", r"\W", r"\S", r"\.", r"\\", r"\x41", r"\u00e9", "^a", "a$", "^a$", r"\Aa\Z", "$", "^", "a^b", "a$b"),
    *("a{", "{", "}", "a{}", "{}", "a{,}", "a*?", "a+?b", "a??", "(?P<name>a)b", "()", "()*", "(a*)*", "(a*)+b"),
    *("encoder/.*", "[a-z]+/dense_[0-9]+", r"block_\d+/(attention|mlp)/.*", ".*dense.*", "(.*/)?dense(_[0-9]+)?"),
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_texts_match_as_in_python(expression: str) -> None:
    own = Patterns([expression])
    for text in TEXTS:
        assert bool(own.matching(text)) == bool(re.fullmatch(expression, text)), text


@pytest.mark.parametrize("text", TEXTS)
def test_many_expressions_match_as_each_alone(text: str) -> None:
    expected = tuple(expression for expression in EXPRESSIONS if re.fullmatch(expression, text))
    assert Patterns(EXPRESSIONS).matching(text) == expected


@pytest.mark.parametrize(
    "expression", ["(", ")", "a)", "[", "[]", "[b-a]", "*", "a**", "a{2,1}", "^*", "\\", r"[\d-a]"]
)
def test_what_is_no_expression_is_none_here_either(expression: str) -> None:
    with pytest.raises(Malformed):
        Patterns([expression])
    with pytest.raises(re.error):
        re.compile(expression)


@pytest.mark.parametrize(
    "expression",
    [r"(a)\1", "(?=a)", "(?!a).*", "(?<=a)b", "(?i)a", r"\ba", "a*+", "(?>a)", "(?P=n)", "(" * 100 + ")" * 100],
)
def test_what_no_automaton_follows_is_refused(expression: str) -> None:
    with pytest.raises(NotSupported):
        Patterns([expression])


@pytest.mark.parametrize("expression", ["a{5000}", "(a{100}){100}", "((a{999}){999}){999999999}", "a?" * 3000])
def test_what_stands_for_very_much_is_refused(expression: str) -> None:
    def refused() -> None:
        with pytest.raises(NotSupported):
            Patterns([expression])

    assert calls_of(refused) < 100_000


def _matched(expression: str, count: int) -> None:
    Patterns([expression]).matching("a" * count)


@pytest.mark.parametrize("expression", ["(a*)*b", "(a|aa)+$b", "(a|a?)+b", "(.*a){20}b", "(a+a+)+b", "([a-z]+/?)*!"])
def test_expressions_that_go_astray_elsewhere_take_as_much_work_as_there_is_text(expression: str) -> None:
    small, large = (calls_of(partial(_matched, expression, count)) for count in (2000, 4000))
    assert large <= 2.3 * small


def test_work_ends_at_a_bound() -> None:
    """Each character of this one leads to a set of states that was never met."""
    pattern = Patterns(["(a|b)*a(a|b){300}"])
    text = "".join(Random(0).choices("ab", k=20_000))
    with pytest.raises(NotSupported, match="too many steps"):
        pattern.matching(text)


def test_plain_keys_take_no_work() -> None:
    keys = [f"model/layer_{index}" for index in range(5000)]
    assert all(map(is_plain, keys))
    policies = DTypePolicyMap(entries=dict.fromkeys(keys, HALF))
    assert calls_of(lambda: [policies.policy_of(f"model/other_{index}") for index in range(1000)]) < 200_000
    assert policies.policy_of("model/layer_7") is HALF


def test_a_map_says_which_key_is_refused() -> None:
    policies = DTypePolicyMap(entries={"a": HALF, "(?!b).*": HALF})
    with pytest.raises(Unsupported, match="looks around") as caught:
        policies.policy_of("c")
    assert "'(?!b).*'" in caught.value.message
    assert caught.value.code == "unsupported_pattern"
