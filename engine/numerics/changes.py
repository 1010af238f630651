"""What a training changed: its variables at the end beside those it began with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.tape import Array
from engine.weights import WeightSpec


@dataclass(frozen=True, slots=True)
class Changes:
    """How many numbers differ.

    Attributes:
        size: numbers of all trainable variables.
        changed: those that differ from what they began with.
        narrow: dtypes below float32 in which variables are kept that did not change at all.
        still: layers with such variables, none of whose numbers changed.
    """

    size: int
    changed: int
    narrow: tuple[str, ...]
    still: tuple[str, ...]


def changes(specs: Sequence[WeightSpec], before: Mapping[str, Array], after: Mapping[str, Array]) -> Changes:
    """Compare two sets of values of the same variables.

    Args:
        specs: of the trainable variables; those that are overwritten, not updated, are left out.
        before: values by path.
        after: likewise.
    """
    updated = [spec for spec in specs if not spec.overwritten]
    moved = {spec.path: int(np.count_nonzero(before[spec.path] != after[spec.path])) for spec in updated}
    layers: dict[str, int] = {}
    for spec in updated:
        layers[spec.layer] = layers.get(spec.layer, 0) + moved[spec.path]
    narrow = [spec for spec in updated if spec.dtype.low_precision and not moved[spec.path]]
    return Changes(
        size=sum(spec.size for spec in updated),
        changed=sum(moved.values()),
        narrow=tuple(dict.fromkeys(spec.dtype.name for spec in narrow)),
        still=tuple(dict.fromkeys(spec.layer for spec in narrow if not layers[spec.layer])),
    )


def nonfinite_layers(specs: Sequence[WeightSpec], values: Mapping[str, Array]) -> tuple[str, ...]:
    """Return the layers of the variables that are not finite."""
    lost = [spec.layer for spec in specs if not np.isfinite(values[spec.path]).all()]
    return tuple(dict.fromkeys(lost))
