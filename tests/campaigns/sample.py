"""The recorded sample of a campaign: ``python -m tests.campaigns.sample FILE...`` keeps it from files of models.

The files are what ``python -m tests.campaigns models --save FILE`` wrote, a model a line; the real libraries made them.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.campaigns.comparing import Case
from tests.contracts.sources import ROOT

PLACE = ROOT / "tests" / "recorded" / "campaign.jsonl.gz"
SEEDS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "keras3": (0, 6, 8, 9, 10, 13, 18, 20, 22, 32, 65, 66, 68, 77, 85, 93, 134),
        "tf_keras": (0, 3, 5, 16, 20, 27, 33, 50, 56, 64, 87, 97, 161),
        "tf2.4": (5, 6, 8, 12, 13, 17, 22, 39, 56, 64, 76, 98),
    }
)
"""Models that were open once, one at least of each cause, and some that never were."""


def kept() -> list[Case]:
    """Return the sample."""
    with gzip.open(PLACE, "rt") as file:
        return [json.loads(line) for line in file]


def main(files: list[str]) -> None:
    """Write the models of the seeds from files."""
    found: dict[tuple[str, int], str] = {}
    for name in files:
        for line in Path(name).read_text().splitlines():
            case = json.loads(line)
            if "invalid" not in case and case["seed"] in SEEDS[case["library"]]:
                found[case["library"], case["seed"]] = line
    wanted = [(library, seed) for library, seeds in SEEDS.items() for seed in seeds]
    with PLACE.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
        file.write("".join(found[key] + "\n" for key in wanted).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
