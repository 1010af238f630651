"""Which gradients are rounding: an optimizer that divides by their size makes full steps of them, in any direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.gradients import dense
from engine.optimizers.joined import JoinedUpdates
from engine.run import Noise
from engine.step import backward
from tests.campaigns.recording import unpacked
from worker.settings import Limits
from worker.specs.check import Prepared, prepare
from worker.specs.job import JobSpec

FAR = 0.25
"""A gradient that the policy moves this far from that of float64, by its size, is rounding."""


def without_dtypes(value: Any) -> Any:
    """Return a config in which no layer but an input names a dtype."""
    if isinstance(value, list):
        return [without_dtypes(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    entry = "batch_shape" in value or "sparse" in value
    return {key: None if key == "dtype" and not entry else without_dtypes(one) for key, one in value.items()}


def gradients(prepared: Prepared, weights: list[Any]) -> dict[str, Any]:
    """Return the gradients of the first step, unscaled, by path; None where the loss does not depend on a variable."""
    model, trainer = prepared.model, prepared.trainer
    model.set_weights(weights)
    state = trainer.initial_state({path: array.copy() for path, array in model.variables.items()})
    updates = JoinedUpdates(model.optimizer.inner_optimizer, model.network.trainable_specs)
    settled = updates.settled(model.optimizer.inner_optimizer, state.variables, state.slots)
    scale = state.scaler.loss_scale
    with np.errstate(all="ignore"):
        rows = trainer.train.part(np.arange(len(trainer.train)))
        done = backward(model.network, model.compilation, settled, rows, scale, Noise(0, 1))
        found = zip(model.network.trainable_specs, done.gradients, strict=True)
        return {spec.path: None if one is None else np.array(dense(one), np.float64) / scale for spec, one in found}


def rounding_of(case: Any, job: Any, narrow: Prepared) -> dict[str, Any]:
    """Return for each trainable variable which of its elements have a gradient that is mostly rounding."""
    weights = [unpacked(one) for one in case["weights"]]
    plain = {**job, "model": without_dtypes(job["model"]), "policy": "float64"}
    exact = gradients(prepare(JobSpec.model_validate(plain), Limits()), weights)
    noisy = {}
    for path, gradient in gradients(narrow, weights).items():
        if gradient is not None and exact[path] is not None:
            noisy[path] = ~(np.abs(gradient - exact[path]) <= FAR * np.abs(exact[path]))
    return noisy
