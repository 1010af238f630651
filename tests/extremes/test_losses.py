"""Losses, metrics, optimizers and penalties of extreme numbers, beside recorded answers of the real libraries.

The answers are a part of ``python -m tests.extremes losses``; ``record_losses.py`` has recorded them, with the counts
of the whole campaign.
"""

from __future__ import annotations

import gzip
import json
from importlib import resources
from typing import Any

import pytest

from engine.losses import LOSSES
from engine.metrics import METRICS
from engine.optimizers import OPTIMIZERS
from engine.regularizers import REGULARIZERS
from tests.extremes.comparing_losses import VERDICTS
from tests.extremes.losses import rows
from tests.extremes.losses_cases import cases

LIBRARIES = {"keras3": "Keras 3", "tf_keras": "tf_keras", "tf2.4": "TF 2.4"}
KINDS = {"loss": LOSSES, "metric": METRICS, "optimizer": OPTIMIZERS, "regularizer": REGULARIZERS}
PAGE = (resources.files("tests").joinpath("..", "docs", "extremes.md")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    packed = (resources.files("tests.extremes") / "losses.json.gz").read_bytes()
    found: dict[str, Any] = json.loads(gzip.decompress(packed))
    return found


@pytest.fixture(scope="module")
def all_cases() -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in cases()}


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_the_library_answered(record: dict[str, Any], all_cases: dict[str, dict[str, Any]], library: str) -> None:
    kept = record[library]["cases"]
    answers = {name: entry["answer"] for name, entry in kept.items()}
    found = rows([all_cases[name] for name in kept], library, answers)
    differing = {
        row.case["id"]: (row.verdict, row.why) for row in found if row.verdict != kept[row.case["id"]]["verdict"]
    }
    assert differing == {}


def test_every_class_is_tried(record: dict[str, Any], all_cases: dict[str, dict[str, Any]]) -> None:
    for kind, classes in KINDS.items():
        assert {case["name"] for case in all_cases.values() if case["kind"] == kind} == set(classes)
    kept = {name for library in LIBRARIES for name in record[library]["cases"]}
    assert {(case["kind"], case["name"]) for name, case in all_cases.items() if name in kept} == {
        (kind, name) for kind, classes in KINDS.items() for name in classes
    }


def test_nothing_is_open(record: dict[str, Any]) -> None:
    for library in LIBRARIES:
        for counts in record[library]["counts"].values():
            assert "open" not in counts
            assert library == "tf2.4" or "beyond" not in counts


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_docs_show_the_counts(record: dict[str, Any], library: str, kind: str) -> None:
    counts = record[library]["counts"][kind]
    figures = " | ".join(f"{counts.get(verdict, 0):,}" for verdict in VERDICTS)
    plural = "losses" if kind == "loss" else f"{kind}s"
    assert f"| {LIBRARIES[library]} | {plural} | {figures} |" in PAGE
