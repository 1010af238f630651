"""Time that tests move by hand."""


class ManualClock:
    """Unix seconds that stand still until they are moved."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += seconds
