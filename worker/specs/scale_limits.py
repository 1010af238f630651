"""Which loss scales a training can start with, and where in a job the scale comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from engine.errors import EngineError
from engine.optimizers import AnyOptimizer
from worker.specs.findings import Findings
from worker.specs.shape import FLOAT32_MAX

CODE = "loss_scale_out_of_range"


def check_scale(findings: Findings, optimizer: AnyOptimizer, place: tuple[str, ...]) -> None:
    """Note a loss scale of the policy or the optimizer that training cannot start with.

    Args:
        findings: where to note it.
        optimizer: as compiled.
        place: where in the job the scale comes from.
    """
    try:
        rule = optimizer.rule
    except EngineError as error:
        findings.add(error.code, error.message, *place)
        return
    if not 1 <= rule.initial_scale <= FLOAT32_MAX:
        text = f"The loss scale must be at least 1 and fit into float32. Received: {rule.initial_scale}."
        findings.add(CODE, text, *place)
    if rule.checked and (rule.growth_interval < 1 or not rule.growth_factor > 1 or math.isinf(rule.growth_factor)):
        text = (
            "A dynamic loss scale must grow by a finite factor above 1 after at least 1 step. Received: factor "
            f"{rule.growth_factor} after {rule.growth_interval} steps."
        )
        findings.add(CODE, text, *place)


def scale_place(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where in a job the loss scale comes from: the optimizer goes before the policy."""
    optimizer = (body.get("compile") or {}).get("optimizer")
    config = optimizer["config"] if isinstance(optimizer, dict) else {}
    for key in ("loss_scale", "initial_scale", "loss_scale_factor"):
        if config.get(key) is not None:
            return ("compile", "optimizer", "config", key)
    return ("policy", "config", "loss_scale")
