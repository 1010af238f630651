"""Two or more callables, timed in turns: on a busy machine only ratios of neighbours mean anything."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """What one callable took, in seconds, and what it took as a ratio to the reference of the same round."""

    name: str
    seconds: tuple[float, ...]
    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def ratio(self) -> float:
        """Median of the ratios, round by round, not the ratio of medians."""
        return statistics.median(self.ratios)


def interleave(calls: Mapping[str, Callable[[], object]], rounds: int = 30, warmups: int = 1) -> tuple[Timing, ...]:
    """Run every callable once a round, in turns; the first is the reference of the ratios.

    Every other round runs backwards, so that none always follows the same neighbour.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls.items())
    for number in range(-warmups, rounds):
        for name, call in order[:: 1 if number % 2 == 0 else -1]:
            seconds = _timed(call)
            if number >= 0:
                taken[name].append(seconds)
    reference = next(iter(taken.values()))
    return tuple(
        Timing(name, tuple(each), tuple(mine / theirs for mine, theirs in zip(each, reference, strict=True)))
        for name, each in taken.items()
    )


def table(timings: tuple[Timing, ...], unit: float = 1e3, unit_name: str = "ms") -> str:
    """The timings as text: median, min and max, the median ratio, and the number of rounds."""
    width = max(len(timing.name) for timing in timings)
    head = f"{'':{width}}  {f'median {unit_name}':>12} {'min':>10} {'max':>10} {'ratio':>8} {'n':>4}"
    rows = (
        f"{timing.name:{width}}  {timing.median * unit:12.3f} {min(timing.seconds) * unit:10.3f} "
        f"{max(timing.seconds) * unit:10.3f} {timing.ratio:8.3f} {len(timing.seconds):4}"
        for timing in timings
    )
    return "\n".join((head, *rows))


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
