"""Training that begins with what another training left: its weights, or these and the optimizer's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from engine.errors import InvalidValue, ShapeMismatch
from engine.state import TrainState
from engine.tape import Array, rounded
from engine.weights import WeightSpec

Shape = tuple[int, ...]


def misfits(specs: Sequence[WeightSpec], shapes: Mapping[str, Shape]) -> dict[str, str]:
    """Return what does not fit between a model and saved weights, by layer name; empty if all fits.

    Args:
        specs: the model's variables.
        shapes: of the saved weights, by path ("layer/name").
    """
    wanted = {spec.path: spec.shape for spec in specs}
    told: dict[str, list[str]] = {}
    for path in dict.fromkeys((*wanted, *shapes)):
        if wanted.get(path) == shapes.get(path):
            continue
        layer, _, name = path.partition("/")
        told.setdefault(layer, []).append(
            f"{name} is {_word(wanted.get(path))} here and {_word(shapes.get(path))} there"
        )
    return {layer: "; ".join(parts) for layer, parts in told.items()}


def _word(shape: Shape | None) -> str:
    return "not" if shape is None else f"of shape {list(shape)}"


def begun_with(
    begin: Callable[[Mapping[str, Array]], TrainState],
    saved: TrainState,
    specs: Sequence[WeightSpec],
    *,
    optimizer: bool,
) -> TrainState:
    """Return the state before the first step of a training that goes on from the weights of another.

    Values are rounded to the dtype of the new model's variables, so a float32 training may go on in float16.

    Args:
        begin: makes the state that the new training begins with of values for its variables.
        saved: the other training's; its arrays are not kept.
        specs: the new model's variables.
        optimizer: whether slots, the optimizer's step count, the learning rate that a callback set, and the loss
            scale with its counter go along.

    Raises:
        ShapeMismatch: the weights do not fit; the text names the layers.
        InvalidValue: the optimizer's slots do not fit.
    """
    wrong = misfits(specs, {path: array.shape for path, array in saved.variables.items()})
    if wrong:
        raise ShapeMismatch(" ".join(f"Layer {layer!r}: {text}." for layer, text in wrong.items()))
    variables = {spec.path: _on_grid(saved.variables[spec.path], spec) for spec in specs}
    begun = begin(variables)
    if not optimizer:
        return begun
    _check_slots(begun.slots, saved.slots)
    return replace(
        begun,
        slots=saved.slots,
        scaler=saved.scaler,
        iterations=saved.iterations,
        learning_rate=saved.learning_rate,
    )


def _on_grid(array: Array, spec: WeightSpec) -> Array:
    return rounded(np.array(array, dtype=spec.dtype.storage), spec.dtype)


def _check_slots(fresh: Mapping[str, Array], saved: Mapping[str, Array]) -> None:
    kinds = [{name: (array.shape, array.dtype) for name, array in slots.items()} for slots in (fresh, saved)]
    if kinds[0] != kinds[1]:
        odd = sorted(name for name in {*kinds[0], *kinds[1]} if kinds[0].get(name) != kinds[1].get(name))
        raise InvalidValue(f"The saved optimizer state does not fit: {', '.join(odd[:5])}.", code="bad_checkpoint")
