"""Older processors lack some of the instructions that rounding uses here; the numbers must be the same."""

import hashlib
import subprocess
import sys

import ml_dtypes
import numkong
import numpy as np
import pytest

from engine.dtypes import BFLOAT16, FLOAT16
from tests.engine.test_rounding import every_number, neighbours

PROGRAM = """
import hashlib, sys
import numkong, numpy as np
from engine.dtypes import BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT16
from engine.rounding import round_to

for capability in sys.argv[1:]:
    numkong.disable_capability(capability)
left = [name for name, there in numkong.get_capabilities().items() if there]
x = np.frombuffer(sys.stdin.buffer.read(), np.float32)
for dtype in (FLOAT16, BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2):
    for size in (x.size, 7):
        for start in range(0, x.size if size == x.size else 7000, size):
            part = round_to(x[start : start + size], dtype)
            print(dtype.name, size, hashlib.sha256(part[~np.isnan(part)].tobytes()).hexdigest())
print(*left)
"""
CAPABILITIES = [name for name, there in numkong.get_capabilities().items() if there and name != "serial"]


def numbers() -> np.ndarray:
    """Every number of float16 and bfloat16, what lies between neighbours, and random bits without nan."""
    found = []
    for dtype in (FLOAT16, BFLOAT16):
        values = every_number(dtype)
        middles = ((values[1:].astype(np.float64) + values[:-1]) / 2).astype(np.float32)
        found += [values, neighbours(middles)]
    drawn = np.random.default_rng(5).integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    return np.concatenate([*found, drawn[np.isfinite(drawn)]])


def digests(without: list[str]) -> tuple[list[str], list[str]]:
    """Return the digests of what is rounded without some instructions, and the instructions that were left."""
    program = [sys.executable, "-c", PROGRAM, *without]
    told = subprocess.run(program, input=numbers().tobytes(), capture_output=True, check=True).stdout.decode()
    *lines, left = told.splitlines()
    return lines, left.split()


@pytest.mark.parametrize("kept", range(len(CAPABILITIES)), ids=lambda kept: CAPABILITIES[kept - 1] if kept else "none")
def test_every_set_of_instructions_rounds_alike(kept: int) -> None:
    lines, left = digests(CAPABILITIES[kept:])
    assert left == ["serial", *CAPABILITIES[:kept]]
    assert len(set(lines)) > 1000
    assert lines == digests([])[0]


def test_the_digests_tell_numbers_apart() -> None:
    lines, _ = digests([])
    cast = numbers().astype(ml_dtypes.bfloat16).astype(np.float32)
    assert lines[1001] == f"bfloat16 {cast.size} {hashlib.sha256(cast.tobytes()).hexdigest()}"
