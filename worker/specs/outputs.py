"""Which metric of a job measures which output, and where in the job it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine.heads import metrics_by_output
from engine.metrics import Metric
from engine.model import Model

Path: TypeAlias = tuple[str | int, ...]
KEYS = ("metrics", "weighted_metrics")


@dataclass(frozen=True)
class Measure:
    """A metric of a model.

    Attributes:
        metric: as it was read.
        output: number of the output that it measures.
        place: where in the job it stands.
    """

    metric: Metric
    output: int
    place: Path


def measures_of(model: Model, compiled: Mapping[str, Any]) -> Iterator[Measure]:
    """Yield the metrics of a model.

    Args:
        model: compiled.
        compiled: the `compile` of the job.
    """
    network = model.network
    for key in KEYS:
        given = metrics_by_output(
            key, compiled.get(key) or (), network.output_names, broadcast=not network.conventions.keras3
        )
        for output, (head, placed) in enumerate(zip(model.compilation.heads, given, strict=True)):
            for metric, (path, _) in zip(getattr(head, key), placed, strict=True):
                yield Measure(metric, output, ("compile", key, *path))
