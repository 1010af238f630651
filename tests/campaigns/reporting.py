"""What a campaign found: each model agrees, is named by a finding, is refused by both, or is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from httpx import Client

from tests.campaigns.comparing import Case, Difference, differences
from tests.campaigns.service import Answers, asked, of_answers

_WITHOUT_KERNEL = ("initializer", "loss", "metric", "optimizer")
_GUESSED = frozenset({"export_dtype_guessed"})
NAMED_BY: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "real": frozenset({"original_refuses", *(f"{what}_without_kernel" for what in _WITHOUT_KERNEL)}),
        **dict.fromkeys(("layer", "inspect", "reach", "output", "loss", "scale", "weight"), _GUESSED),
    }
)
"""Findings that name a kind of difference."""


@dataclass(frozen=True)
class Row:
    """One model of a campaign."""

    case: Case
    differences: tuple[Difference, ...]
    codes: frozenset[str]

    @property
    def verdict(self) -> str:
        """In one word."""
        kinds = {one.kind for one in self.differences}
        if not kinds:
            return "agrees"
        if "refused" in kinds:
            return "refused" if self.case["real"]["stage"] == "done" else "both refuse"
        return "named" if all(NAMED_BY.get(kind, frozenset()) & self.codes for kind in kinds) else "open"

    def text(self) -> str:
        """In a few lines."""
        case, plan = self.case, self.case["plan"]
        layers = " ".join(spec.get("class_name", "Model") for spec in plan["layers"].values())
        head = f"{case['library']} {case['seed']}: {self.verdict}, {plan['exported']} asked {plan['asked']}, {layers}"
        return "\n".join([head, *(f"    {one.kind}: {one.text[:300]}" for one in self.differences)])


def row_of(http: Client, case: Case) -> Row:
    """Compare one recorded model, over HTTP and step by step."""
    answers: Answers = asked(http, case)
    found = [*differences(case), *of_answers(case, answers)]
    skipped = case["real"].get("scale_after", 1) < case["real"].get("scale", 1)  # an update that was not tried
    if "original_refuses" in answers.codes and case["real"]["stage"] == "done" and not skipped:
        found.append(Difference("untrue", "original_refuses, but the original did it"))
    return Row(case, tuple(found), frozenset(answers.codes))


def layer_classes(plan: Any) -> Iterator[str]:
    """Yield the class of every layer of a plan, inner ones too."""
    for spec in plan["layers"].values():
        if "plan" in spec:
            yield from layer_classes(spec["plan"])
            continue
        yield spec["class_name"]
        inner = spec["config"].get("layer")
        if inner:
            yield inner["class_name"]


def table(rows: list[Row]) -> str:
    """Return the figures of a campaign."""
    lines = []
    for library in dict.fromkeys(row.case["library"] for row in rows):
        mine = [row for row in rows if row.case["library"] == library]
        verdicts = Counter(row.verdict for row in mine)
        reals = [row.case["real"] for row in mine]
        steps = sum(
            real["stage"] == "done" and not row.case["plan"]["noise"] for real, row in zip(reals, mine, strict=True)
        )
        layers = sum(len(real.get("layers", ())) for real in reals)
        lines.append(
            f"{library}: {len(mine)} models, {layers} dtypes of layers, {steps} steps compared; "
            + ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        )
    kinds = Counter((row.verdict, kind) for row in rows for kind in {one.kind for one in row.differences})
    lines += [f"{verdict}, {kind}: {count} models" for (verdict, kind), count in sorted(kinds.items())]
    used = Counter(name for row in rows for name in layer_classes(row.case["plan"]))
    rare = ", ".join(f"{name} {count}" for name, count in sorted(used.items(), key=lambda item: item[1])[:8])
    lines.append(f"{len(rows)} models of {len(used)} kinds of layers; least often: {rare}")
    return "\n".join(lines)
