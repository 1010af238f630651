"""How exact and how fast the rounding is. ``python -m benchmarks.rounding [--exact 100000000] [--rounds 30]``.

Costs are measured interleaved with the cast they are compared with: on a shared machine only the ratio means
anything. The ratio printed is the median over the rounds.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np

from engine.dtypes import BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT16, DType
from engine.rounding import Float32Array, round_to

NARROW = (FLOAT16, BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2)
SIZES = (1_000_000, 65_536, 4_096, 256)
PART = 1 << 20


def main() -> int:
    """Print the figures; exit with 1 if one number was rounded wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exact", type=int, default=0, help="random float32 bit patterns to check per dtype")
    parser.add_argument("--rounds", type=int, default=30, help="interleaved timings per figure")
    arguments = parser.parse_args()
    wrong = sum(exactness(dtype, arguments.exact) for dtype in NARROW) if arguments.exact else 0
    print(f"{'dtype':14} {'elements':>9} {'ns each':>8} {'of the cast':>12} {'of astype(float16)':>19}")
    for dtype in NARROW:
        for size in SIZES:
            speed(dtype, size, arguments.rounds)
    return int(wrong > 0)


def exactness(dtype: DType, count: int) -> int:
    """Check ``count`` random bit patterns against the cast; return how many differ."""
    rng = np.random.default_rng(0)
    wrong = 0
    for start in range(0, count, PART):
        x = rng.integers(0, 2**32, min(PART, count - start), dtype=np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            cast = x.astype(dtype.edge).astype(np.float32)
            rounded = round_to(x, dtype)
        same = (rounded.view(np.uint32) == cast.view(np.uint32)) | (np.isnan(rounded) & np.isnan(cast))
        wrong += x.size - int(np.count_nonzero(same))
    print(f"{dtype.name}: {count:,} random float32, {wrong} rounded wrongly")
    return wrong


def speed(dtype: DType, size: int, rounds: int) -> None:
    """Print what rounding costs per element, and as a ratio to its own cast there and back and to float16's."""
    x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    out: Float32Array = np.empty_like(x)
    repeats = max(1, 200_000 // size)
    costs = np.array(
        [
            (
                seconds(lambda: round_to(x, dtype, out), repeats),
                seconds(lambda: x.astype(dtype.edge).astype(np.float32), repeats),
                seconds(lambda: x.astype(np.float16), repeats),
            )
            for _ in range(rounds)
        ]
    )
    each = costs[:, 0].min() / size * 1e9
    of_cast, of_half = np.median(costs[:, :1] / costs[:, 1:], axis=0)
    print(f"{dtype.name:14} {size:9,} {each:8.2f} {of_cast:12.2f} {of_half:19.2f}")


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Seconds that one call takes, the mean of ``repeats``."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


if __name__ == "__main__":
    sys.exit(main())
