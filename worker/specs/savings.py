"""Where the callbacks of a job save models to: artifacts under names of their own, and not more than may be."""

from __future__ import annotations

import re

from engine.callbacks import ModelCheckpoint
from engine.training import Trainer
from worker.settings import Limits
from worker.specs.findings import Findings

TAKEN = ("model.keras", "model.safetensors", "history.json", "report.json")
"""Artifacts that every job leaves."""
LONGEST = 120
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_savings(findings: Findings, limits: Limits, trainer: Trainer) -> None:
    """Note paths that are no names of artifacts, and more files than a job may leave.

    Args:
        findings: where to note it.
        limits: the limits.
        trainer: of the job; its callbacks fit its logs.
    """
    for index, callback in enumerate(trainer.fit.callbacks):
        if not isinstance(callback, ModelCheckpoint):
            continue
        place = ("fit", "callbacks", index, "config", "filepath")
        shown = callback.filled_in({**dict.fromkeys(trainer.names, 0.5), "epoch": 1, "batch": 1})
        if not _FILE.fullmatch(shown) or len(callback.filepath) > LONGEST:
            text = (
                f"`filepath` names an artifact of the job: at most {LONGEST} letters, digits, dots and dashes, without "
                f'folders, such as "best.keras". Received: {callback.filepath[:LONGEST]!r}.'
            )
            findings.add("invalid_value", text, *place)
        elif callback.filepath in TAKEN:
            text = f"`filepath` {callback.filepath!r} is an artifact of every job; choose another, such as best.keras."
            findings.add("invalid_value", text, *place)
        most = _files_of(callback, trainer)
        if most > limits.saved_models:
            text = (
                f"{callback.class_name} would leave up to {most:,} files; the limit is {limits.saved_models:,}. Leave "
                "placeholders out of `filepath`, so that each takes the place of the one before, or save less often."
            )
            findings.add("resource_limit", text, *place)


def _files_of(callback: ModelCheckpoint, trainer: Trainer) -> int:
    if not callback.placeholders:
        return 1
    return trainer.fit.epochs if callback.save_freq == "epoch" else trainer.total_steps // int(callback.save_freq)
