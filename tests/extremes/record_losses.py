"""Records a part of the campaign of losses, metrics, optimizers and regularizers, and the counts of the whole.

``python -m tests.extremes.record_losses keras3=FILE tf_keras=FILE tf2.4=FILE``, each FILE as ``--answers`` keeps it,
writes ``losses.json.gz`` beside this script. Recorded with Keras 3.15.1 and tf_keras 2.21.0 on TF 2.21.0, and with
TF 2.4.4, on their CPU wheels.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.extremes.comparing_losses import Answer, Row
from tests.extremes.losses import rows
from tests.extremes.losses_cases import cases

FILE = Path(__file__).with_name("losses.json.gz")
MOST_NUMBERS = 40
"""Of an answer that is kept."""
EACH = {"reproduced": 2, "finding": 1, "agree": 1, "refused": 1}
"""Of each class in a library: how many cases that came out so are kept."""


def kept(found: list[Row], real: dict[str, Answer]) -> dict[str, Any]:
    """Return of some cases the verdict and what the library answered."""
    chosen: dict[str, Any] = {}
    taken: Counter[tuple[str, str, str]] = Counter()
    for row in found:
        case, answer = row.case, real[row.case["id"]]
        place = case["kind"], case["name"], row.verdict
        short = len(json.dumps(answer)) < MOST_NUMBERS * 20 and len(case.get("y_pred", ())) < 100
        if short and taken[place] < EACH.get(row.verdict, 0) and case["dtype"] != "float32":
            taken[place] += 1
            chosen[case["id"]] = {"verdict": row.verdict, "answer": answer}
    return chosen


def counted(found: list[Row]) -> dict[str, dict[str, int]]:
    """Return by kind how many cases came out how."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in found:
        counts[row.case["kind"]][row.verdict] += 1
    return {kind: dict(count) for kind, count in counts.items()}


def main(arguments: list[str]) -> None:
    """Compare everything, and write the part that is kept."""
    given, record = cases(), {}
    for library, _, file in (argument.partition("=") for argument in arguments):
        real = json.loads(Path(file).read_text(encoding="utf-8"))
        found = rows(given, library, real)
        record[library] = {"counts": counted(found), "cases": kept(found, real)}
        print(library, record[library]["counts"], len(record[library]["cases"]))
    packed = gzip.compress(json.dumps(record).encode(), mtime=0)
    FILE.write_bytes(packed)


if __name__ == "__main__":
    main(sys.argv[1:])
