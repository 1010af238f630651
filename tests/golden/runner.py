"""Runs cases and counts them: passed, failed, unsupported, deviating on purpose."""

import fnmatch
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from tests.golden import (
    autocasting,
    calls,
    construct,
    dynamics,
    keras3,
    keras3_optimizers,
    layers,
    loss_scales,
    optimizers,
    roundtrip,
    scaling,
    tf_keras,
    train,
)
from tests.golden.cases import Case
from tests.golden.compare import differences
from tests.golden.outcome import NotBuilt, refused

OPS: Mapping[str, Any] = {
    **construct.OPS,
    **roundtrip.OPS,
    **loss_scales.OPS,
    **dynamics.OPS,
    **optimizers.OPS,
    **layers.OPS,
    **calls.OPS,
    **autocasting.OPS,
    **scaling.OPS,
    **keras3.OPS,
    **keras3_optimizers.OPS,
    **tf_keras.OPS,
}
"""The adapter of each op of a policy case; ops that are not here count as unsupported."""

_CRASHES = (
    EngineError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)

DEVIATIONS = Path(__file__).parent / "deviations.toml"


@dataclass(frozen=True)
class Deviation:
    """Cases in which the engine answers better than the original, on purpose.

    Attributes:
        cases: glob for case ids.
        reason: why.
        op: the op or kind of the cases; any, if empty.
        facts: the facts that may differ; any, if there is none.
        only: text that what was expected must hold.
    """

    cases: str
    reason: str
    op: str = ""
    facts: tuple[str, ...] = ()
    only: str = ""

    def excuses(self, case: Case, differing: Iterable[str]) -> bool:
        of_this_kind = fnmatch.fnmatchcase(case.id, self.cases) and self.op in ("", case.kind)
        expected = self.only in json.dumps(case.document.get("expected"))
        return of_this_kind and expected and (not self.facts or set(differing) <= set(self.facts))


@dataclass
class Tally:
    """The outcome of a run."""

    passed: int = 0
    deviating: int = 0
    failed: list[str] = field(default_factory=list)
    unsupported: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.passed} passed, {len(self.failed)} failed, {self.unsupported.total()} unsupported, "
            f"{self.deviating} deviations"
        )


def read_deviations(path: Path = DEVIATIONS) -> list[Deviation]:
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("deviation", [])
    return [Deviation(**{**entry, "facts": tuple(entry.get("facts", ()))}) for entry in entries]


def run(cases: Iterable[Case], deviations: Iterable[Deviation] = ()) -> Tally:
    """Run every case and count the outcomes."""
    tally = Tally()
    allowed = list(deviations)
    for case in cases:
        try:
            found = _differences(case)
        except NotBuilt as lacking:
            tally.unsupported[f"{case.group} {case.kind}: {lacking}"] += 1
            continue
        except _CRASHES as crash:
            found = {"crash": f"crashed with {crash!r}"}
        if not found:
            tally.passed += 1
        elif any(deviation.excuses(case, found) for deviation in allowed):
            tally.deviating += 1
        else:
            tally.failed.append(f"{case.id}: {'; '.join(found.values())}")
    return tally


def _differences(case: Case) -> dict[str, str]:
    table: Mapping[str, Any] = train.KINDS if case.is_training else OPS
    if case.kind not in table:
        raise NotBuilt(f"no adapter for {case.kind}")
    if case.is_training:
        return train.KINDS[case.kind]({**case.document, "directory": str(case.path.parent)}, case.arrays())
    try:
        got = table[case.kind](case.document["input"])
    except EngineError as error:
        got = refused(error)
    return differences(case.document, got)
