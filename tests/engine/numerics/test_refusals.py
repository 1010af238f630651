"""What the real libraries refuse in 16 bits is named, and nothing that they train: by the record of every case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from engine import conventions, layers, losses, metrics, optimizers
from engine.configured import Configured
from engine.errors import EngineError
from engine.numerics.absence_rules import of_part, of_use
from engine.numerics.linter import lint
from engine.numerics.model_policy import read_model_policy
from engine.numerics.refusal_rules import LIBRARIES
from engine.numerics.refusals.uses import Use
from engine.numerics.subject import Subject
from engine.policy import Policy
from engine.policy_scope import scoped
from tests.extremes.refusals.cases import POLICIES, every
from tests.extremes.refusals.keep import FILES, read

NAMING = {
    *("original_refuses", "initializer_without_kernel", "loss_without_kernel", "metric_without_kernel"),
    "optimizer_without_kernel",
}
"""Codes of findings that say that the original refuses."""
NOT_UPDATED = ("bias_constraint/NonNeg", "constraint/NonNeg")
"""Cases that were recorded op by op, without the update that applies their constraint; test_dtype_rules has them."""
CASES = {case["id"]: case for case in every()}
PLACES = ("inner", "first")


def subject_of(case: dict[str, Any], model: dict[str, Any], policy: str) -> Subject:
    line = conventions.of(model)
    optimizer, loss, metric = (case.get(key) for key in ("optimizer", "loss", "metric"))
    read_loss = None if loss is None else losses.get(loss, line)
    return Subject(
        config=scoped(model, "auto").config,
        policy=read_model_policy(policy),
        conventions=line,
        optimizer=None if optimizer is None else optimizers.get(optimizer, line),
        loss=read_loss,
        metrics=() if metric is None else (metrics.get(metric, read_loss, 1, line),),
        policy_scope="auto",
    )


def said(case: dict[str, Any], model: dict[str, Any], policy: str) -> str:
    """Return how the engine names that the original refuses, or nothing."""
    try:
        findings = lint(subject_of(case, model, policy))
    except EngineError as error:
        return f"refused: {error.message}"
    # TF 2.4 trains nothing at all under the global policy bfloat16: one case says so, the others were trained without.
    whole = case["id"] == "fit/global_policy"
    named = [found for found in findings if found.code in NAMING and (whole or found.evidence.get("op") != "DivNoNan")]
    return "; ".join(f"{found.code} of {found.evidence.get('op', 'Qr')}" for found in named)


def questions(library: str) -> Iterator[tuple[dict[str, Any], str, str, str | None]]:
    """Yield a record, a policy and a place, and what the library raised there: nothing where it trained."""
    for record in read(library):
        if "absent" in record or record["id"] in NOT_UPDATED:
            continue
        for policy in POLICIES:
            answers = {
                key.split("/", 1)[1]: value for key, value in record["answers"].items() if key.startswith(f"{policy}/")
            }
            refused = {place: answer_of(answers, place) for place in PLACES}
            for place in PLACES if refused["inner"] else PLACES[:1]:
                yield record, policy, place, refused[place]


def answer_of(answers: dict[str, Any], place: str) -> str | None:
    """Return what was raised in every way that was tried, or nothing; compiled models add up penalties themselves."""
    ways = {key.partition("/")[2]: value for key, value in answers.items() if key.startswith(f"{place}/")}
    raised = [value for way, value in ways.items() if way != "eager"] or list(ways.values())
    return None if not raised or None in raised else ": ".join(raised[0])


def lacking(case: dict[str, Any], library: str) -> list[str]:
    """Return what is named of a case that a library does not have in float32 either: absent, or refused as it is."""
    line, policy = conventions.CONVENTIONS[library], Policy("float32")
    config = {"name": "subject", **{key: value for key, value in case["config"].items() if key != "integer"}}
    shapes = tuple((None, *shape) for shape in case["shapes"])
    try:
        layer = layers.from_config({"class_name": case["class_name"], "config": config}, line, policy)
        layer.weight_specs(*shapes)
        use = Use(layer, shapes, case["call"], (case["masked"],) * len(shapes), given_mask=False, differentiated=True)
        parts: list[Configured] = []
        parts += [optimizers.get(case["optimizer"], line).inner_optimizer] if "optimizer" in case else []
        parts += [losses.get(case["loss"], line)] if "loss" in case else []
        parts += [metrics.get(case["metric"], None, 1, line)] if "metric" in case else []
    except EngineError as error:
        return [f"refused: {error.message}"]
    refused = [each.op for each in LIBRARIES[library].layers if each.holds(use)]
    return [*of_use(use, line), *(text for part in parts for text in of_part(part, line)), *refused]


def without_it(case: str) -> bool:
    """Whether the layer by itself does not tell: read under another name, refused with the job, built by its model."""
    return case.endswith("/silu") or case.startswith("Softmax/masked") or case == "MultiHeadAttention/grid"


@pytest.mark.parametrize(("library", "least"), [("keras3", 505), ("tf_keras", 495), ("tf2.4", 505)])
def test_the_record_is_whole(library: str, least: int) -> None:
    """But for a few cases that a library does not have, and metrics of classes under the squared loss of Keras 3."""
    assert len({record["id"] for record in read(library)} & CASES.keys()) >= least


@pytest.mark.parametrize("library", FILES)
def test_what_the_library_lacks_is_named_and_nothing_else(library: str) -> None:
    """A Softmax that gets a mask of steps is refused when the job is sent: tests/worker/specs/test_masks.py."""
    wrong = []
    for record in read(library):
        named = lacking(CASES[record["id"]], library)
        missing = "absent" in record or record.get("float32") is not None
        if bool(named) != missing and not without_it(record["id"]):
            wrong.append(f"{record['id']}: {record.get('absent', 'is there')} | {named}")
    assert wrong == []


@pytest.mark.parametrize("library", FILES)
def test_what_the_library_refuses_is_named_and_nothing_else(library: str) -> None:
    wrong = []
    for record, policy, place, raised in questions(library):
        named = said(CASES[record["id"]], record[place], policy)
        if bool(named) != (raised is not None):
            wrong.append(f"{record['id']} {policy} {place}: {raised or 'trains'} | {named or 'nothing is said'}")
    assert wrong == []
