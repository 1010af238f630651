"""How loss scales move while training: one record of what moves, one record of how, one function.

A rule is a value; every system that scales losses is one row of ``engine.scaler_rules.RULES``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from engine.dtypes import FLOAT32, DType
from engine.errors import InvalidType, ScaleExhausted


@dataclass(frozen=True, kw_only=True)
class ScalerRule:
    """How a loss scale behaves.

    Attributes:
        initial_scale: scale of the first step.
        growth_factor: what growing multiplies by.
        backoff_factor: what shrinking multiplies by; None divides by ``growth_factor``, which rounds differently.
        growth_interval: how many finite steps in a row make the scale grow; with "==", 0 never does, as
            no count equals it.
        reached: whether the count must equal the interval to grow, or may also lie beyond it.
        restart: what the count restarts from after a nonfinite step (-1: one more step until the first growth).
        growth_guard: whether a growth to infinity is left out.
        cap: largest scale that growing reaches, or None.
        floor: smallest scale that shrinking reaches, or None.
        at_floor: "clamp" stays there; "stop_at" raises on a nonfinite step that finds the scale at the floor;
            "stop_below" raises as soon as shrinking reaches it.
        hysteresis: how many nonfinite steps it takes to shrink; later ones shrink each, until it is refilled. Below 1
            the scale never shrinks.
        refill: what refills the hysteresis, a growth or any finite step.
        tolerance: share of nonfinite steps since the last change of scale that does not yet shrink it.
        checked: False never looks at gradients and never skips a step.
        skip_advances_iterations: whether a skipped step counts as an iteration of the optimizer.
        unscale: whether gradients are multiplied by the float32 reciprocal of the scale, or divided by it.
        arithmetic: float32 throughout, float32 with factors in double ("mixed"), or Python floats.
        flush_subnormals: whether float32 arithmetic treats subnormal numbers as zero, as TF's CPU kernels do.
    """

    initial_scale: float
    growth_factor: float = 2.0
    backoff_factor: float | None = None
    growth_interval: int = 2000
    reached: Literal[">=", "=="] = "=="
    restart: int = 0
    growth_guard: bool = False
    cap: float | None = None
    floor: float | None = None
    at_floor: Literal["clamp", "stop_at", "stop_below"] = "clamp"
    hysteresis: int = 1
    refill: Literal["growth", "finite"] = "growth"
    tolerance: float = 0.0
    checked: bool = True
    skip_advances_iterations: bool = False
    unscale: Literal["reciprocal", "divide"] = "reciprocal"
    arithmetic: Literal["float32", "mixed", "float64"] = "float32"
    flush_subnormals: bool = False

    def initial(self) -> ScalerState:
        """Return the state of a new run."""
        scale = self.initial_scale if self.arithmetic == "float64" else float32(self.initial_scale)
        return ScalerState(scale, counter=self.restart, patience=self.hysteresis - 1)


@dataclass(frozen=True)
class ScalerState:
    """Everything about a loss scale that changes while training; it checkpoints whole.

    Attributes:
        loss_scale: scale of the next step, exactly representable in the arithmetic of its rule.
        counter: finite steps since the last nonfinite step or growth.
        patience: nonfinite steps that may still pass without shrinking (hysteresis).
        overflows: nonfinite steps since the last shrinking (tolerance).
        since_change: steps since the last change of scale (tolerance).
    """

    loss_scale: float
    counter: int = 0
    patience: int = 0
    overflows: int = 0
    since_change: int = 0


def update(rule: ScalerRule, state: ScalerState, finite: bool) -> tuple[ScalerState, bool]:
    """Return the state after a step, and whether the step's gradients are to be applied.

    Args:
        rule: how the scale behaves.
        state: before the step.
        finite: whether every gradient of the step was finite (true for a step without gradients).

    Raises:
        ScaleExhausted: the scale would have to shrink beyond a floor at which the rule stops the run.
    """
    if not rule.checked:
        return state, True
    return (_after_finite(rule, state), True) if finite else (_after_nonfinite(rule, state), False)


def _after_finite(rule: ScalerRule, state: ScalerState) -> ScalerState:
    patience = rule.hysteresis - 1 if rule.refill == "finite" else state.patience
    counted = replace(_noted(rule, state, 0), counter=state.counter + 1, patience=patience)
    if not _reached(rule, counted.counter):
        return counted
    grown = _grown(rule, state.loss_scale)
    return replace(counted, loss_scale=grown, counter=0, patience=rule.hysteresis - 1, since_change=0)


def _after_nonfinite(rule: ScalerRule, state: ScalerState) -> ScalerState:
    held = replace(_noted(rule, state, 1), counter=rule.restart)
    if rule.tolerance and held.overflows / held.since_change < rule.tolerance:
        return held
    if rule.hysteresis < 1:
        return held
    if state.patience > 0:
        return replace(held, patience=state.patience - 1)
    return replace(held, loss_scale=_shrunk(rule, state.loss_scale), overflows=0, since_change=0)


def _noted(rule: ScalerRule, state: ScalerState, overflows: int) -> ScalerState:
    """Return the state with its step counted for the tolerance, if the rule has one."""
    if not rule.tolerance:
        return state
    return replace(state, overflows=state.overflows + overflows, since_change=state.since_change + 1)


def _reached(rule: ScalerRule, counter: int) -> bool:
    return counter >= rule.growth_interval if rule.reached == ">=" else counter == rule.growth_interval


def _grown(rule: ScalerRule, scale: float) -> float:
    grown = _computed(rule, np.multiply, scale, rule.growth_factor)
    if rule.growth_guard and not np.isfinite(grown):
        return scale
    return grown if rule.cap is None else min(grown, rule.cap)


def _shrunk(rule: ScalerRule, scale: float) -> float:
    if rule.at_floor == "stop_at" and scale == rule.floor:
        raise _exhausted(rule, scale)
    if rule.backoff_factor is None:
        shrunk = _computed(rule, np.divide, scale, rule.growth_factor)
    else:
        shrunk = _computed(rule, np.multiply, scale, rule.backoff_factor)
    if rule.floor is None:
        return shrunk
    if rule.at_floor == "stop_below":
        if shrunk <= rule.floor:
            raise _exhausted(rule, scale)
        return shrunk
    return float(np.maximum(shrunk, rule.floor))  # NaN stays NaN, which Python's max would hide


def _exhausted(rule: ScalerRule, scale: float) -> ScaleExhausted:
    return ScaleExhausted(
        f"The loss scale is {scale} and cannot shrink below {rule.floor}: the gradients are not finite at any scale. "
        "Look for the first nonfinite value, or use bfloat16."
    )


def _computed(rule: ScalerRule, operation: Callable[..., np.floating], scale: float, factor: float) -> float:
    """Return ``operation(scale, factor)``, rounded as the rule's arithmetic does."""
    with np.errstate(all="ignore"):
        if rule.arithmetic == "float64":
            return float(operation(np.float64(scale), np.float64(factor)))
        if rule.arithmetic == "mixed":
            return float32(float(operation(np.float64(scale), np.float64(factor))))
        if not rule.flush_subnormals:
            return float(operation(np.float32(scale), np.float32(factor)))
        return _flushed(float(operation(np.float32(_flushed(scale)), np.float32(_flushed(factor)))))


def reciprocal(rule: ScalerRule, scale: float) -> float:
    """Return 1 / scale in the rule's arithmetic: what gradients are multiplied by."""
    return _computed(rule, np.divide, 1.0, scale)


def check_gradient_dtype(dtype: DType) -> None:
    """Check that gradients of a dtype can be looked at for nonfinite values.

    Raises:
        InvalidType: it is not a float.
    """
    if not dtype.is_floating:
        raise InvalidType(
            f"Value for attr 'T' of {dtype.name} is not in the list of allowed values: bfloat16, half, float, double",
            code="gradient_dtype",
            original="InvalidArgumentError",
        )


def _flushed(value: float) -> float:
    return 0.0 if abs(value) < FLOAT32.min_normal else value


def float32(value: float) -> float:
    """Return the float32 nearest to a number, as a Python float; infinity beyond the largest one."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


UNSCALED = ScalerRule(initial_scale=1.0, checked=False)
"""The null rule: scale 1, gradients not looked at."""
