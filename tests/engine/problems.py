"""Small training problems that tests share."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.model import Model, model_from_config
from engine.state import TrainState
from engine.tape import Array
from engine.training import EpochRecord, FitOptions, StepRecord, Trainer

OVERFLOWING = {
    "class_name": "PolicyV1",
    "config": {
        "name": "mixed_float16",
        "loss_scale": {
            "class_name": "DynamicLossScale",
            "config": {"initial_loss_scale": 2.0**24, "increment_period": 4, "multiplier": 2.0},
        },
    },
}
"""A policy whose loss scale starts far too large, so that the first steps are skipped."""


def classifier(*, dropout: float = 0.2, batch_norm: bool = True, features: int = 6, classes: int = 3) -> dict[str, Any]:
    """Return the config of a small classifier with random and stateful layers and penalties."""
    layers: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, features]}},
        {"class_name": "Dense", "config": {"units": 8, "activation": "relu", "kernel_regularizer": "l2"}},
        {"class_name": "Dropout", "config": {"rate": dropout}},
        {"class_name": "Dense", "config": {"units": classes}},
        {"class_name": "Activation", "config": {"activation": "softmax", "dtype": "float32"}},
    ]
    if batch_norm:
        layers.insert(2, {"class_name": "BatchNormalization", "config": {"momentum": 0.9}})
    return {"class_name": "Sequential", "config": {"name": "small", "layers": layers}}


def data(rows: int = 50, features: int = 6, classes: int = 3, seed: int = 0) -> tuple[Array, Array]:
    """Return rows that can be told apart: (float32 inputs, int64 class numbers)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, features)) * 2
    labels = rng.integers(0, classes, rows)
    return (centres[labels] + rng.normal(size=(rows, features))).astype(np.float32), labels


def compiled(policy: Any = None, optimizer: Any = "adam", **keywords: Any) -> Model:
    """Return a compiled classifier."""
    model = model_from_config(classifier(**keywords), policy)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def trainer(policy: Any = None, *, epochs: int = 3, seed: int = 1, **keywords: Any) -> Trainer:
    """Return a trainer of the classifier with validation, shuffle and an odd last batch."""
    x, y = data()
    fit = FitOptions(batch_size=8, epochs=epochs, validation_split=0.1)
    return Trainer(compiled(policy, **keywords), x, y, fit, seed)


def run(of: Trainer, state: TrainState) -> tuple[TrainState, list[StepRecord], list[EpochRecord]]:
    """Train to the end; return the last state and all records."""
    steps: list[StepRecord] = []
    epochs: list[EpochRecord] = []
    while not of.finished(state):
        state, record = of.advance(state)
        (steps if isinstance(record, StepRecord) else epochs).append(record)  # type: ignore[arg-type]
    return state, steps, epochs
