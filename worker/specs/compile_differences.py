"""What a model says that it was compiled with, beside the `compile` of the job that trains it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.compilation import Compilation, compiled
from engine.errors import EngineError
from engine.model import Model
from worker.specs.compile_configs import PLACES

_EVERYTHING = ("optimizer", "loss", "metrics")
_NAMES = ("name", "module", "registered_name")
"""Of the settings of optimizers, losses and metrics, those that change no number."""


def differences(key: str, given: Mapping[str, Any], model: Model) -> tuple[str, ...]:
    """Return the arguments of ``compile`` that the model and the job do not share.

    Args:
        key: "compile_config" or "training_config".
        given: what the model says there.
        model: compiled as the job says.
    """
    if not given.get(PLACES[key]) or not given.get("loss"):
        return _EVERYTHING
    try:
        other = compiled(
            model.network,
            given[PLACES[key]],
            given["loss"],
            given.get("metrics"),
            loss_weights=given.get("loss_weights"),
            weighted_metrics=given.get("weighted_metrics"),
            auto_scale_loss=given.get("auto_scale_loss", True),
        )
    except EngineError:  # it cannot be what the job says
        return _EVERYTHING
    here, there = _facts_of(model.compilation, model), _facts_of(other, model)
    return tuple(part for part in _EVERYTHING if here[part] != there[part])


def _facts_of(compilation: Compilation, model: Model) -> dict[str, Any]:
    line = model.network.conventions

    def config(part: Any) -> Any:
        return None if part is None else (part.class_name, _plain(part.get_config(line)))

    optimizer, inner = compilation.optimizer, compilation.optimizer.inner_optimizer
    return {
        "optimizer": (config(inner), optimizer is inner or repr(compilation.rule)),
        "loss": [(config(head.loss), head.weight) for head in compilation.heads],
        "metrics": [
            [config(metric) for metric in part]
            for head in compilation.heads
            for part in (head.metrics, head.weighted_metrics)
        ],
    }


def _plain(value: Any) -> Any:
    """Return settings without names, their numbers as float32 holds them: Keras writes a rate of 0.001 so."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if key not in _NAMES}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value == "auto":  # a loss that is given by its name
        return "sum_over_batch_size"
    return float(np.float32(value)) if isinstance(value, float) else value
