"""``python -m tests.golden [DIR] [--group G] [--id PATTERN]``: run golden cases and print what fails."""

import argparse
import sys
from pathlib import Path

from tests.golden import cases, runner


def main(arguments: list[str]) -> int:
    """Run the cases that the command line asks for; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=cases.OWN, help="folder of cases (default: ours)")
    parser.add_argument("--group", default="", help="prefix of the group: G3 for policies, A for training")
    parser.add_argument("--id", default="*", help="glob for case ids")
    options = parser.parse_args(arguments)
    if not options.directory.is_dir():
        parser.error(f"{options.directory} is no folder")
    tally = runner.run(cases.load(options.directory, options.group, options.id), runner.read_deviations())
    for line in tally.failed:
        print(line)
    for what, count in sorted(tally.unsupported.items()):
        print(f"unsupported: {count} of {what}")
    print(tally)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
