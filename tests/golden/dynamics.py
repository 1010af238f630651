"""G4: how loss scales move."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from engine import scaler
from engine.dtypes import as_dtype
from engine.loss_scale import DynamicLossScale, FixedLossScale
from engine.scaler import ScalerRule
from tests.golden.outcome import accepted


def steps(rule: ScalerRule, given: dict[str, Any]) -> dict[str, Any]:
    """The trajectory of a rule over the gradients of a case."""
    state = rule.initial()
    initial = state.loss_scale
    scales, counters, applied = [], [], []
    for gradients in given["steps"]:
        state, apply = scaler.update(rule, state, finite(gradients, given["grad_dtype"]))
        scales.append(state.loss_scale)
        counters.append(state.counter if rule.checked else None)
        applied.append(apply)
    return accepted(initial_loss_scale=initial, loss_scale=scales, counter=counters, should_apply=applied)


def finite(gradients: list[Any], dtype: str) -> bool:
    """Whether every gradient is finite; those that are None do not count."""
    return all(bool(np.all(np.isfinite(array(gradient, dtype)))) for gradient in gradients if gradient is not None)


def array(gradient: Any, dtype: str) -> np.ndarray:
    """A gradient of a case in its dtype; "inf" and "nan" are numbers there."""
    with np.errstate(over="ignore"):
        return np.asarray(gradient, dtype=np.float64).astype(as_dtype(dtype).edge)


def loss_scale_steps(given: dict[str, Any]) -> dict[str, Any]:
    if "value" in given:
        return steps(FixedLossScale(given["value"]).rule, given)
    return steps(DynamicLossScale(given["initial"], given["period"], given["multiplier"]).rule, given)


def loss_scale_update_error(given: dict[str, Any]) -> dict[str, Any]:
    scaler.check_gradient_dtype(as_dtype(given["grad_dtype"]))
    return accepted()


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "loss_scale_steps": loss_scale_steps,
    "loss_scale_update_error": loss_scale_update_error,
}
