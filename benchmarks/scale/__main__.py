"""``python -m benchmarks.scale [queue metrics followers slices]``: print the tables; exit with 1 if one is off."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from benchmarks.scale import followers, metrics, queue, slices

PARTS: Mapping[str, Callable[[argparse.Namespace], bool]] = {
    "queue": lambda given: queue.measure(given.jobs, given.rounds),
    "metrics": lambda given: metrics.measure(given.rows, 7),
    "followers": lambda given: followers.measure(given.followers, 200),
    "slices": lambda given: slices.measure(given.epochs, jobs=8),
}


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; default: all")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs that wait")
    parser.add_argument("--rounds", type=int, default=300, help="calls of each kind while they wait")
    parser.add_argument("--rows", type=int, default=1_000_000, help="steps of the large job")
    parser.add_argument("--followers", type=int, default=500, help="listeners to one job")
    parser.add_argument("--epochs", type=int, default=200, help="of the job that is trained in slices")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    met = True
    for name in given.parts or PARTS:
        print(f"\n{name}")
        met &= PARTS[name](given)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
