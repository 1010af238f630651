"""The linter: what is wrong with the numerics of a model, found by looking, before it runs."""

from __future__ import annotations

from engine.numerics.absence_rules import ABSENCE_RULES
from engine.numerics.case import Case, Rule
from engine.numerics.dtype_rules import DTYPE_RULES, LABEL_RULES
from engine.numerics.findings import Finding, Severity
from engine.numerics.kernel_sums import KERNEL_SUM_RULES
from engine.numerics.layer_rules import LAYER_RULES
from engine.numerics.loss_rules import LOSS_RULES
from engine.numerics.metric_rules import METRIC_RULES
from engine.numerics.reach_rules import REACH_RULES
from engine.numerics.refusal_rules import LOSS_REFUSAL_RULES, REFUSAL_RULES
from engine.numerics.scaling_rules import SCALING_RULES
from engine.numerics.subject import Subject
from engine.numerics.sum_rules import SUM_RULES
from engine.numerics.update_rules import UPDATE_RULES

OUTPUT_RULES: tuple[Rule, ...] = (*LOSS_RULES, *METRIC_RULES, *LOSS_REFUSAL_RULES, *LABEL_RULES)
"""Those that look at one output and what it is measured by; each output is looked at."""

RULES: tuple[Rule, ...] = (
    *REACH_RULES,
    *SCALING_RULES,
    *OUTPUT_RULES,
    *UPDATE_RULES,
    *LAYER_RULES,
    *SUM_RULES,
    *KERNEL_SUM_RULES,
    *REFUSAL_RULES,
    *ABSENCE_RULES,
    *DTYPE_RULES,
)
"""Every rule; each looks for one thing, and says its code, its severity, why, and what to do."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The grave ones first."""


def lint(subject: Subject) -> tuple[Finding, ...]:
    """Return the findings of every rule, the grave ones first.

    Raises:
        EngineError: the model, or how it would be compiled, is refused.
    """
    case = Case(subject)
    found = [each for rule in RULES for each in rule(case)]
    found += [each for other in case.others for rule in OUTPUT_RULES for each in rule(other)]
    once = {(each.code, each.layer, each.why): each for each in reversed(found)}
    found = [each for each in found if once[each.code, each.layer, each.why] is each]
    return tuple(sorted(found, key=lambda each: SEVERITIES.index(each.severity)))
