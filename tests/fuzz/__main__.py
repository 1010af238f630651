"""`python -m tests.fuzz --cases 2000`: run a campaign against a server of its own, and print what it found."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.fuzz import campaign as open_to_all
from tests.fuzz import tenants
from tests.fuzz.campaign import ALL_PATHS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="schemathesis cases (default 2000)")
    parser.add_argument("--jobs", type=int, default=500, help="good jobs with one thing changed (default 500)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--paths",
        nargs="+",
        metavar="PATTERN",
        default=ALL_PATHS,
        help="only operations at these paths, such as '/v1/policies*' (default all)",
    )
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument("--auth", action="store_true", help="of a service that asks for keys, as those without rights")
    given = parser.parse_args()
    campaign = tenants.campaign if given.auth else open_to_all.campaign
    with tempfile.TemporaryDirectory() as folder:
        report = campaign(Path(folder), cases=given.cases, changed_jobs=given.jobs, start=given.seed, paths=given.paths)
    told = "".join(f"{fault}\n" for fault in report.faults) + report.summary()
    sys.stdout.write((json.dumps(report.figures()) if given.json else told) + "\n")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
