"""Training steps beside those of the peers, in turns: `python -m benchmarks.training [--rows cnn]`.

Ratios are the peer's time by ours in the same round: above 1 means that Halfstep is faster. ``make bench`` first sets
up the peers' environment, .venv-peers; ``--systems halfstep`` needs none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.training import growth, report
from benchmarks.training.measuring import POLICIES, Plan, cells
from benchmarks.training.models import ROWS
from benchmarks.training.systems import MINE, PEERS, SYSTEMS, SystemFailed


def main() -> int:
    """Print the tables; exit with 2 if the peers are not set up, with 1 if our own process fails."""
    arguments = _arguments()
    systems = tuple(dict.fromkeys((MINE, *arguments.systems)))
    if len(systems) > 1 and not PEERS.exists():
        print("The peers are not set up: run `make bench`, or measure Halfstep alone with --systems halfstep.")
        return 2
    with tempfile.TemporaryDirectory(prefix="halfstep-bench-") as logs:
        plan = Plan(systems, arguments.rounds, arguments.block, arguments.threads, Path(logs))
        print(report.head(plan), flush=True)
        try:
            for found in cells(plan, [ROWS[name]() for name in arguments.rows], arguments.policies):
                print(report.lines(found, systems), flush=True)
            for axis in arguments.growth:
                print(growth.table(plan, axis), flush=True)
        except SystemFailed as failed:
            print(f"Halfstep itself failed: {failed}")
            return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--rows", nargs="*", choices=tuple(ROWS), default=tuple(ROWS))
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES)
    parser.add_argument("--systems", nargs="+", choices=tuple(SYSTEMS), default=tuple(SYSTEMS))
    parser.add_argument("--growth", nargs="*", choices=growth.AXES, default=growth.AXES)
    parser.add_argument("--rounds", type=int, default=7, help="turns that each system takes")
    parser.add_argument("--block", type=float, default=0.25, help="seconds of one turn")
    parser.add_argument("--threads", type=int, default=1, help="of every system; 1 is what our workers use")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
