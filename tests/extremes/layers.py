"""Layers with extreme numbers beside a real library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.dtypes import FLOAT32
from tests.extremes import layers_ours
from tests.extremes.comparing import Answer, Row, compared, table
from tests.extremes.layers_cases import built, cases, inputs_of, weights_of

RUNNER = Path(__file__).with_name("layers_real.py")
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
KERNELS = {"eigen": {"TF_ENABLE_ONEDNN_OPTS": "0"}, "onednn": {"TF_ENABLE_ONEDNN_OPTS": "1"}}
"""The kernels that TensorFlow has for a processor: Eigen's, and those of oneDNN, which it prefers since TF 2.9."""
OF_LIBRARY = {"tf2.4": ("eigen",)}
CODES = {"original_refuses", "normalization_low_precision", "precision_loss", "sum_overflow"}
"""Findings that speak of what a kernel does otherwise than the engine."""


def prepared(library: str, case: dict[str, Any]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the inputs and the weights of a case."""
    inputs = inputs_of(case)
    layer = built(library, case["layer"], case["config"], case["policy"])
    return inputs, weights_of(layer, [x.shape for x in inputs])


def asked(python: str, library: str, given: list[dict[str, Any]], folder: Path, kernels: str) -> None:
    """Have a library under another interpreter answer cases, into a folder."""
    arrays = {}
    for case in given:
        inputs, weights = prepared(library, case)
        layer = built(library, case["layer"], case["config"], case["policy"])
        shape = tuple(layer.compute_output_shape(*[x.shape for x in inputs]))
        arrays |= {f"{case['id']}/x{i}": x for i, x in enumerate(inputs)}
        arrays |= {f"{case['id']}/w{i}": w for i, w in enumerate(weights)}
        arrays[f"{case['id']}/c"] = layers_ours.cotangent_of(shape, FLOAT32).astype(np.float32)
    np.savez(folder / "inputs.npz", **arrays)
    (folder / "cases.json").write_text(json.dumps(given), encoding="utf-8")
    environment = {**os.environ, **ENVIRONMENT, **KERNELS[kernels]}
    command = [python, "-W", "ignore", str(RUNNER), library, str(folder)]
    subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    (folder / "inputs.npz").unlink()


def answers(folder: Path, wanted: Collection[str]) -> dict[str, Answer]:
    """Return what a library answered, by the id of the case."""
    told: Mapping[str, Any] = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    arrays: dict[str, dict[str, np.ndarray]] = {}
    with np.load(folder / "answers.npz") as stored:
        for name in stored.files:
            own, _, key = name.rpartition("/")
            if own in wanted:
                arrays.setdefault(own, {})[key] = stored[name]
    return {
        name: Answer(error=f"{about['error']}: {about['message']}")
        if "error" in about
        else Answer(arrays[name], about["dtype"])
        for name, about in told.items()
        if name in wanted
    }


def rows(library: str, given: list[dict[str, Any]], real: Mapping[str, Sequence[Answer]]) -> list[Row]:
    """Return every case compared."""
    found = []
    for case in given:
        inputs, weights = prepared(library, case)
        ours = layers_ours.answer(library, case, inputs, weights)
        row = compared(case, ours, real[case["id"]], ())
        if row.verdict == "open":
            codes = [each.code for each in layers_ours.findings(library, case, inputs) if each.code in CODES]
            row = compared(case, ours, real[case["id"]], codes)
        found.append(row)
    return found


def main(python: str, library: str, only: str, kept: str) -> int:
    """Print the table and what is open; return how much is."""
    given = [case for case in cases(library) if only in case["id"]]
    with tempfile.TemporaryDirectory() as temporary:
        answered = [
            _answered(python, library, given, Path(kept or temporary) / kernels, kernels)
            for kernels in OF_LIBRARY.get(library, tuple(KERNELS))
        ]
    both = set.intersection(*[set(each) for each in answered])
    real = {name: [each[name] for each in answered] for name in both}
    found = rows(library, [case for case in given if case["id"] in both], real)
    still = [row for row in found if row.verdict == "open"]
    text = [table(found, "layer"), table(found, "kind"), table(found, "policy")]
    for verdict in ("open", "finding", "kernels"):
        text += [
            f"{verdict} {row.case['id']} {row.case['config']} {row.why}" for row in found if row.verdict == verdict
        ]
    sys.stdout.write("\n".join([*text, ""]))
    return len(still)


def _answered(
    python: str, library: str, given: list[dict[str, Any]], folder: Path, kernels: str
) -> Mapping[str, Answer]:
    if not (folder / "answers.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        asked(python, library, given, folder, kernels)
    return answers(folder, {case["id"] for case in given})
