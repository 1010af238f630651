"""Losses, metrics and optimizers with extreme numbers beside a real library."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.extremes.comparing_losses import Answer, Row, compared, table
from tests.extremes.losses_cases import cases
from tests.extremes.losses_findings import findings
from tests.extremes.losses_ours import answers, in_float32

RUNNER = Path(__file__).with_name("losses_real.py")
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
"""With oneDNN as it is by default: without it, bfloat16 products of matrices round differently."""


def asked(python: str, library: str, given: Sequence[Mapping[str, Any]]) -> dict[str, Answer]:
    """Return what a library under another interpreter answers to cases."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "cases.json", Path(folder) / "answers.json"
        question.write_text(json.dumps(given), encoding="utf-8")
        command = [python, str(RUNNER), library, str(question), str(answer)]
        subprocess.run(command, check=True, env=ENVIRONMENT)
        found: dict[str, Answer] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def rows(given: list[dict[str, Any]], library: str, real: Mapping[str, Answer]) -> list[Row]:
    """Return every case compared."""
    ours = answers(given, library)
    narrow = [case for case in given if case["dtype"] != "float32" and "error" not in real[case["id"]]]
    wide = answers([in_float32(case) for case in narrow], library)
    found = [compared(case, ours[case["id"]], real[case["id"]], wide.get(case["id"])) for case in given]
    return [replace(row, verdict="finding") if _is_found(row, library) else row for row in found]


def _is_found(row: Row, library: str) -> bool:
    return row.verdict == "beyond" and "original_refuses" in findings(dict(row.case), library)


def _kept(file: Path, python: str, library: str) -> dict[str, Answer]:
    """Return what a file holds of the library's answers to all cases; they are asked for and kept where it is none."""
    if not file.exists():
        file.write_text(json.dumps(asked(python, library, cases())), encoding="utf-8")
    found: dict[str, Answer] = json.loads(file.read_text(encoding="utf-8"))
    return found


def main(python: str, library: str, only: str, recorded: str) -> int:
    """Print the table and what is open; return how much is."""
    given = [case for case in cases() if only in case["id"]]
    real = _kept(Path(recorded), python, library) if recorded else asked(python, library, given)
    found = rows(given, library, real)
    still = [row for row in found if row.verdict == "open"]
    print(table(found))
    for row in still:
        print(f"open {row.case['id']} {row.why}")
    return len(still)
