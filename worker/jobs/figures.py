"""What slices and reapers count, so that the sum of all processes can be told in one place.

The sums are kept in the broker, where any process can add to them at once. They start anew when it loses its data,
as counters of a restarted process do: who reads them (Prometheus) expects that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

SLICE_BOUNDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 30.0, 60.0)
"""Upper bounds of the classes of slice lengths, in seconds; what is longer is in a class of its own."""
_LONGER = "inf"
STEPS, SKIPPED = "steps", "skipped_steps"
TRAINING_SECONDS, SLICE_SECONDS = "training_seconds", "slice_seconds"
LEASES_LOST, SENT_AGAIN = "leases_lost", "wakeups_sent_again"
_SLICES, _CLASS = "slices:", "slice_class:"


@dataclass(frozen=True)
class SliceFigures:
    """One slice in numbers.

    Attributes:
        outcome: how it ended, in one word.
        seconds: from the claim to the last write.
        training_seconds: of those, in the training loop; the rest is loading, saving and telling.
        steps: trained, the skipped ones too.
        skipped: not applied, because a gradient was not finite.
    """

    outcome: str
    seconds: float
    training_seconds: float
    steps: int
    skipped: int

    def counts(self) -> Mapping[str, float]:
        """By how much each sum grows."""
        bound = next((str(bound) for bound in SLICE_BOUNDS if self.seconds <= bound), _LONGER)
        return {
            f"{_SLICES}{self.outcome}": 1,
            f"{_CLASS}{bound}": 1,
            SLICE_SECONDS: self.seconds,
            TRAINING_SECONDS: self.training_seconds,
            STEPS: self.steps,
            SKIPPED: self.skipped,
        }


def outcomes(sums: Mapping[str, float]) -> Mapping[str, float]:
    """How many slices ended how."""
    return {name.removeprefix(_SLICES): count for name, count in sums.items() if name.startswith(_SLICES)}


def lengths(sums: Mapping[str, float]) -> list[tuple[str, float]]:
    """Of each upper bound (the last is `+Inf`), how many slices took no longer."""
    counts = [sums.get(f"{_CLASS}{bound}", 0.0) for bound in (*map(str, SLICE_BOUNDS), _LONGER)]
    return list(zip((*map(str, SLICE_BOUNDS), "+Inf"), accumulate(counts), strict=True))
