"""What is found about the numerics of a model: one record, whoever finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "info"]
About: TypeAlias = Literal["model", "policy", "optimizer", "loss", "auto_scale_loss", "x", "y"]
Evidence: TypeAlias = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing.

    Attributes:
        code: stable snake_case name for programs.
        severity: "error" breaks training, "warning" may, "info" is good to know.
        layer: where, or None for the model as a whole.
        why: what happens.
        fix: what to do about it.
        source: the paper, issue or symbol of the original that tells of it.
        evidence: the figures behind it; infinite ones as the text "inf".
        about: the setting to change, where no layer is named.
    """

    code: str
    severity: Severity
    layer: str | None
    why: str
    fix: str
    source: str
    evidence: Evidence = field(default_factory=lambda: MappingProxyType({}))
    about: About = "model"
