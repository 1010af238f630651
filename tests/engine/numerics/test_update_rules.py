"""Whether updates reach 16-bit variables, beside what real optimizers do to a weight of 0.

Recorded from Keras 3.15.1, tf_keras 2.21 and TF 2.4.4 by ``tests/extremes/losses_real.py``, cases "plain".
"""

import json
from importlib import resources

import pytest

from engine.numerics.linter import lint
from tests.engine.numerics.subjects import dense, layer, subject

MOVES = json.loads((resources.files("tests.recorded") / "moves_of_optimizers.json").read_text())
CASES = [(line, name, outcome) for line, found in MOVES.items() for name, outcome in found.items()]


@pytest.mark.parametrize(("line", "name", "outcome"), CASES)
def test_what_never_moves_in_the_library_is_foretold(line: str, name: str, outcome: str) -> None:
    optimizer, dtype = name.split("-")
    found = lint(subject(dense("head", 2), policy=dtype, line=line, optimizer=layer(optimizer)))
    codes = {each.code for each in found if each.severity == "error" and each.code.startswith("update_")}
    assert codes == {"moves": set(), "still": {"update_swallowed"}, "nonfinite": {"update_nonfinite"}}[outcome]


@pytest.mark.parametrize("rounding", ["stochastic", "kahan"])
def test_the_fix_that_is_offered_ends_the_finding(rounding: str) -> None:
    optimizer = layer("Adam", update_rounding=rounding)
    found = lint(subject(dense("head", 2), policy="bfloat16", line="keras3", optimizer=optimizer))
    assert not [each for each in found if each.code.startswith("update_")]


def test_a_decay_that_changes_nothing_is_named() -> None:
    found = lint(subject(dense("head", 2), policy="float16", line="keras3", optimizer=layer("AdamW")))
    assert [each.evidence["setting"] for each in found if each.code == "update_swallowed"] == ["weight_decay"]


def test_an_average_that_never_moves_is_named() -> None:
    optimizer = layer("SGD", use_ema=True, ema_momentum=0.999)
    found = lint(subject(dense("head", 2), policy="bfloat16", line="keras3", optimizer=optimizer))
    (average,) = (each for each in found if each.code == "hyperparameter_rounded")
    assert (average.evidence["setting"], average.evidence["held_as"]) == ("ema_momentum", 1)
