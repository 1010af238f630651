"""Packs what was recorded: ``python -m tests.extremes.refusals.keep LIBRARY LINES``, into ``tests/recorded``.

If there is no file LINES, it is written from the record instead, so that ``record`` goes on where it ended.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

from tests.contracts.sources import ROOT

FILES = {"keras3": "refusals_keras3", "tf_keras": "refusals_tf_keras", "tf2.4": "refusals_tf24"}


def path_of(library: str) -> Path:
    """Return where the record of a library is."""
    return ROOT / "tests" / "recorded" / f"{FILES[library]}.json.gz"


def read(library: str) -> list[dict]:
    """Return the record of a library, in the order of the cases."""
    return json.loads(gzip.decompress(path_of(library).read_bytes()))


def main(library: str, lines: str) -> None:
    """Write the record of a library anew, or the lines from it."""
    if not Path(lines).exists():
        Path(lines).write_text("".join(f"{json.dumps(case)}\n" for case in read(library)), encoding="utf-8")
        return
    found = [json.loads(line) for line in Path(lines).read_text(encoding="utf-8").splitlines()]
    text = json.dumps(sorted(found, key=lambda case: case["id"]), separators=(",", ":"))
    path_of(library).write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
