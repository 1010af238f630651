"""What the outputs of a model are measured by: the arguments of ``Model.compile`` that name outputs.

Sources: ``keras.src.trainers.compile_utils`` of Keras 3.15; ``keras.engine.compile_utils`` of TF 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from engine.configured import any_number, refuse, shown
from engine.conventions import Conventions
from engine.errors import InvalidValue
from engine.losses import Loss
from engine.losses.base import on_grid
from engine.metrics import Metric
from engine.tape import Array, Tensor

Path: TypeAlias = tuple[str | int, ...]
Placed: TypeAlias = tuple[Path, Any]
"""Something that was given, and where in its argument it stands."""


@dataclass(frozen=True)
class Head:
    """An output, and what it is measured by.

    Attributes:
        name: of the output: that of the layer it comes from.
        loss: None where the output has none.
        weight: what the loss counts in the total; None for 1.
        metrics: that see no sample weights.
        weighted_metrics: that see them.
    """

    name: str
    loss: Loss | None
    weight: float | None = None
    metrics: tuple[Metric, ...] = ()
    weighted_metrics: tuple[Metric, ...] = ()

    @property
    def takes_labels(self) -> bool:
        """Whether anything is compared with labels."""
        return self.loss is not None or bool(self.metrics or self.weighted_metrics)

    @property
    def all_metrics(self) -> tuple[Metric, ...]:
        """Every metric, those that see sample weights last."""
        return (*self.metrics, *self.weighted_metrics)


def matched(labels: Array, weights: Array | None, prediction: Tensor, line: Conventions) -> tuple[Array, Array | None]:
    """Return labels and sample weights as ``fit`` gives them to losses and metrics.

    Keras 2 first casts sample weights, and labels that are no integers, to the dtype of the prediction. Source:
    ``match_dtype_and_rank`` in ``compile_utils``.
    """
    dtype = prediction.dtype
    if line.keras3 or not dtype.low_precision:
        return labels, weights
    if labels.dtype.kind == "f":
        labels = on_grid(labels, dtype)
    return labels, None if weights is None else on_grid(np.asarray(weights), dtype)


def weights_refused(loss: Loss, output: Sequence[int | None], weights: int) -> bool:
    """Whether the loss's line of Keras refuses sample weights: Keras 3 does not spread one a row over its losses.

    Args:
        loss: of the output.
        output: its shape, batch axis first.
        weights: how many axes the weights have.
    """
    axis = getattr(loss, "axis", -1)
    reduced = len(output) if axis is None else len(axis) if isinstance(axis, tuple) else 1
    return loss.conventions.keras3 and weights == 1 and len(output) - reduced > 1


def losses_by_output(given: Any, names: Sequence[str], *, partial: bool) -> list[Placed | None]:
    """Return what stands for each output in the argument ``loss``.

    Args:
        given: one for all outputs, a list with one (or None) an output, or a dict by output name.
        names: of the outputs.
        partial: whether a dict may leave outputs out, as in Keras 2; Keras 3 wants every name.

    Raises:
        InvalidValue: another number of entries, or other names.
    """
    if isinstance(given, list | tuple):
        if len(given) != len(names):
            raise _misfit("loss", names, given)
        return [_placed((index,), item) for index, item in enumerate(given)]
    if isinstance(given, Mapping) and "class_name" not in given:
        strange = [name for name in given if name not in names]
        lacking = [name for name in names if name not in given]
        if strange or (lacking and not partial):
            raise _misfit("loss", names, given)
        return [_placed((name,), given.get(name)) for name in names]
    return [_placed((), given)] * len(names)


def weights_by_output(given: Any, names: Sequence[str], *, partial: bool) -> list[float | None]:
    """Return what the losses count, from the argument ``loss_weights``: a number for one output, a list, or a dict.

    Raises:
        InvalidValue: another number of entries, other names, or no number.
    """
    if given is None:
        return [None] * len(names)
    if isinstance(given, Mapping):
        if set(given) - set(names) or (set(names) - set(given) and not partial):
            raise _misfit("loss_weights", names, given)
        found: list[Placed] = [((name,), given.get(name)) for name in names]
    elif isinstance(given, list | tuple):
        if len(given) != len(names):
            raise _misfit("loss_weights", names, given)
        found = [((index,), item) for index, item in enumerate(given)]
    elif len(names) == 1:
        found = [((), given)]
    else:
        raise _misfit("loss_weights", names, given)
    return [None if item is None else _number(path, item) for path, item in found]


def _number(path: Path, item: Any) -> float:
    try:
        return float(any_number("loss_weights", item))
    except InvalidValue as error:
        raise error.at(*path) from None


def metrics_by_output(key: str, given: Any, names: Sequence[str], *, broadcast: bool) -> list[list[Placed]]:
    """Return what stands for each output in ``metrics`` or ``weighted_metrics``.

    Args:
        key: the argument's name.
        given: of one output a list, which may hold a list, or a dict; of several a list with one entry (a metric, a
            list of them or None) an output, or a dict by output name.
        names: of the outputs.
        broadcast: whether a flat list holds for every output, as in Keras 2.

    Raises:
        InvalidValue: it fits the outputs in no such way.
    """
    if not given and isinstance(given, list | tuple | Mapping | None):
        return [[] for _ in names]
    if not isinstance(given, list | tuple | Mapping) or "class_name" in given:
        raise refuse(key, "a list of metrics, or a dict of them by output", given)
    if len(names) == 1:
        return [flat((), given)]
    if isinstance(given, Mapping):
        if set(given) - set(names):
            raise _misfit(key, names, given)
        return [flat((name,), given.get(name)) for name in names]
    if broadcast and not any(isinstance(item, list | tuple | None) for item in given):
        return [flat((), given) for _ in names]
    if len(given) != len(names):
        raise _misfit(key, names, given)
    return [flat((index,), item) for index, item in enumerate(given)]


def flat(path: Path, given: Any) -> list[Placed]:
    """Return what stands in a value that may nest lists and dicts of losses or metrics, with their places.

    Args:
        path: where the value stands.
        given: one, None, or a list or dict of such values.
    """
    if given is None:
        return []
    if isinstance(given, list | tuple):
        return [entry for index, item in enumerate(given) for entry in flat((*path, index), item)]
    if isinstance(given, Mapping) and "class_name" not in given:
        return [entry for name, item in given.items() for entry in flat((*path, str(name)), item)]
    return [(path, given)]


def _placed(path: Path, given: Any) -> Placed | None:
    return None if given is None else (path, given)


def _misfit(key: str, names: Sequence[str], given: Any) -> InvalidValue:
    keys = sorted(map(str, given)) if isinstance(given, Mapping) else given
    return InvalidValue(
        f"`{key}` must fit the model's outputs {list(names)}: a list with one entry an output, or a dict with these "
        f"keys. Received: {shown(keys, 200)}."
    )
