"""`python -m tests.campaigns models --python PYTHON --library keras3`: random models beside the real library.

The library makes, exports and trains them in the interpreter PYTHON, which has TensorFlow; Halfstep is asked over HTTP.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.app.serving import serving
from tests.campaigns.comparing import Case
from tests.campaigns.libraries import NAMES
from tests.campaigns.peer import Peer, peer
from tests.campaigns.reporting import Row, row_of, table
from tests.campaigns.shrinking import shrunk


def cases(given: argparse.Namespace, library: Peer | None) -> Iterator[Case]:
    """Yield the models: recorded ones, or new ones."""
    for place in given.recorded:
        with Path(place).open() as file:
            yield from map(json.loads, file)
    if library:
        for seed in range(given.seed, given.seed + given.count):
            yield library.ask(seed=seed)


def smallest(library: Peer, http: Any, row: Row) -> Row:
    """Return the smallest model found that differs in the same way."""
    kinds = {one.kind for one in row.differences}

    def differs(case: Case) -> bool:
        found = row_of(http, case)
        return found.verdict == "open" and bool(kinds & {one.kind for one in found.differences})

    return row_of(http, shrunk(row.case, lambda plan: library.ask(seed=row.case["seed"], plan=plan), differs))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("what", choices=["models"])
    parser.add_argument("--python", help="interpreter that has the library")
    parser.add_argument("--library", choices=NAMES)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recorded", nargs="*", default=[], metavar="FILE", help="models that were recorded before")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the models there, a line each")
    parser.add_argument("--shrink", action="store_true", help="look for a smaller model that differs alike")
    given = parser.parse_args()
    rows = []
    with ExitStack() as stack:
        http = stack.enter_context(serving(Path(stack.enter_context(tempfile.TemporaryDirectory())))).http
        library = stack.enter_context(peer(given.python, given.library)) if given.library else None
        kept = stack.enter_context(given.save.open("w")) if given.save else None
        for case in cases(given, library):
            if kept:
                kept.write(json.dumps(case) + "\n")
            if "invalid" in case:
                sys.stdout.write(f"{case['seed']}: the library cannot export it: {case['invalid']}\n")
                continue
            row = row_of(http, case)
            rows.append(row)
            if row.verdict != "agrees":
                sys.stdout.write(row.text() + "\n")
            if row.verdict == "open" and given.shrink and library:
                small = smallest(library, http, row)
                sys.stdout.write(f"smaller: {small.text()}\n    {json.dumps(small.case['plan'])}\n")
    sys.stdout.write(table(rows) + "\n")
    return 1 if any(row.verdict == "open" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
