"""The loss scale over the training steps, as text: a logarithmic plot that fits a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

LINE, SKIPPED = "━", "╳"


def plot(steps: Sequence[int], scales: Sequence[float], applied: Sequence[bool], width: int = 72) -> str:
    """Return the plot: one row for each power of two that was taken, one column for a stretch of steps.

    Args:
        steps: numbers of the steps, ascending.
        scales: loss scale of each step, positive and finite.
        applied: whether the step changed the weights; columns with a skipped step have a cross at its scale.
        width: columns of the plot, without the axis.

    Returns:
        Lines, the axis and a legend included; empty if there are no steps.
    """
    if not steps:
        return ""
    powers = [math.log2(scale) for scale in scales]
    rows = range(math.floor(max(powers)), math.floor(min(powers)) - 1, -1)
    columns = min(width, steps[-1] - steps[0] + 1)
    cells = {row: [" "] * columns for row in rows}
    span = steps[-1] - steps[0] + 1
    for mark, wanted in ((LINE, True), (SKIPPED, False)):
        for step, power, was_applied in zip(steps, powers, applied, strict=True):
            if was_applied is wanted:
                cells[math.floor(power)][(step - steps[0]) * columns // span] = mark
    lines = [f"{_label(row):>9} │{''.join(cells[row]).rstrip()}" for row in rows]
    first, last = str(steps[0]), f"{steps[-1]:,} steps"
    axis = f"{'':10} {first} {last.rjust(columns - len(first) - 1)}"
    return "\n".join([*lines, " " * 10 + "└" + "─" * columns, axis, _LEGEND])


_LEGEND = f"{'':11}loss scale (log2), {LINE} applied, {SKIPPED} skipped: the gradients were not finite"


def _label(power: int) -> str:
    return f"2^{power}"
