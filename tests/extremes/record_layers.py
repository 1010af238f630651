"""Records some cases of layers: ``python -m tests.extremes.record_layers ANSWERS``, from what the campaign has kept.

ANSWERS holds a folder for each library, which ``python -m tests.extremes layers --answers ANSWERS/LIBRARY`` has filled.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tests.extremes.comparing import Answer, Row
from tests.extremes.layers import KERNELS, OF_LIBRARY, answers, rows
from tests.extremes.layers_cases import cases

RECORD = Path(__file__).with_name("layers.json.gz")
LIBRARIES = ("keras3", "tf_keras", "tf2.4")
HELD = ("agree", "reproduced", "kernels", "refused")
_CASES = 95
_OF_LAYER = 3
_NUMBERS = 2000
"""Of the arrays of a case, at most."""


def main(folder: Path) -> None:
    """Write the record."""
    recorded = {library: list(_recorded(library, folder / library)) for library in LIBRARIES}
    text = json.dumps(recorded, separators=(",", ":")).encode()
    RECORD.write_bytes(gzip.compress(text, 9, mtime=0))


def _recorded(library: str, folder: Path) -> list[dict[str, Any]]:
    given = [case for case in cases(library) if case["kind"] != "long"]
    names = {case["id"] for case in given}
    kernels = [answers(folder / each, names) for each in OF_LIBRARY.get(library, tuple(KERNELS))]
    real = {name: [each[name] for each in kernels] for name in names}
    found = [row for row in rows(library, given, real) if row.verdict in HELD]
    return [_entry(row, real[row.case["id"]]) for row in _chosen(found, real)]


def _chosen(found: list[Row], real: dict[str, list[Answer]]) -> list[Row]:
    """Return a few cases of each layer, those first in which something overflows."""
    taken: Counter[str] = Counter()
    chosen = []
    for row in sorted(found, key=lambda row: (row.verdict == "agree", zlib.crc32(row.case["id"].encode()))):
        first = real[row.case["id"]][0]
        size = sum(np.size(array) for array in first.arrays.values())
        name = row.case["layer"]
        if size <= _NUMBERS and taken[name] < _OF_LAYER and len(chosen) < _CASES:
            taken[name] += 1
            chosen.append(row)
    return chosen


def _entry(row: Row, real: list[Answer]) -> dict[str, Any]:
    kept = real if row.verdict == "kernels" else real[:1]
    case = {key: value for key, value in row.case.items() if key != "serialized"}
    return {"case": case, "verdict": row.verdict, "answers": [_written(each) for each in kept]}


def _written(answer: Answer) -> dict[str, Any]:
    arrays = {key: _packed(np.asarray(array)) for key, array in answer.arrays.items()}
    return {"dtype": answer.dtype, "error": answer.error[:60], "arrays": arrays}


def _packed(array: np.ndarray) -> list[Any]:
    return [array.dtype.name, list(array.shape), base64.b64encode(array.tobytes()).decode()]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
