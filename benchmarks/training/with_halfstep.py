"""Halfstep's side: the step that a worker runs, in a process of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.training.models import CLASSES, LEARNING_RATE
from benchmarks.training.serving import Run, Spec, serve
from engine import allocation
from engine.model import model_from_config
from engine.policy import Policy
from engine.state import TrainState
from engine.training import FitOptions, Trainer

STEPS_AN_EPOCH = 4


def build(spec: Spec) -> Run:
    """Return what trains, as a worker would: batches of a data set, through the loop."""
    model = model_from_config(spec["config"], Policy(spec["policy"]))
    loss: dict[str, Any] = {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}}
    model.compile({"class_name": "Adam", "config": {"learning_rate": LEARNING_RATE}}, loss)
    rng = np.random.default_rng(0)
    rows = spec["batch"] * STEPS_AN_EPOCH
    x = rng.standard_normal((rows, *spec["shape"]), np.float32)
    y = rng.integers(0, CLASSES, rows).astype(np.int32)
    trainer = Trainer(model, x, y, FitOptions(spec["batch"], epochs=10**9), seed=0)
    return _Loop(trainer, trainer.initial_state())


class _Loop:
    """Goes on from the state where the last block stopped."""

    def __init__(self, trainer: Trainer, state: TrainState) -> None:
        self._trainer, self._state = trainer, state

    def __call__(self, steps: int) -> TrainState:
        goal = self._state.step + steps
        with allocation.kept():  # as in the worker's slice
            while self._state.step < goal:
                self._state, _ = self._trainer.advance(self._state)
        return self._state


if __name__ == "__main__":
    serve(build)
