"""Rules about updates in float16 and bfloat16 variables: settings that round to others, steps that change nothing.

What is claimed is found by running the optimizer on a single number, by the rules of its line of Keras.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from engine.dtypes import DType
from engine.initializers import Zeros
from engine.numerics.case import Case, Rule
from engine.numerics.findings import Evidence, Finding
from engine.optimizers import Optimizer
from engine.optimizers.arithmetic import number_on
from engine.optimizers.low_precision import NEAREST
from engine.schedules import Schedule
from engine.weights import WeightSpec

_SHARES = ("beta_1", "beta_2", "rho", "momentum")
"""Settings below 1 that say how much of an average stays."""
_MOMENTS = (0, 1, 2, 100, 10_000)
"""Iterations at which an update is tried: schedules may begin at 0."""
_MOST_VARIABLES = 4
"""With which an update is tried."""
_WEIGHTS = tuple(2.0**exponent for exponent in range(-12, 8))
_ROUND = 'or set `update_rounding` of the optimizer to "stochastic" or "kahan"'
_SOURCE = (
    "keras.optimizers (3.15.1), tf_keras (2.21) and TF 2.4.4, observed; tensorflow/tensorflow#58138; arXiv 2010.06192"
)


def _wide(case: Case, dtype: DType) -> str:
    """Advise variables in float32, by what made them narrow: the model's policy, or layers that name a dtype."""
    if case.subject.policy.plain.variable_dtype == dtype.name:
        return f"Keep variables in float32: policy mixed_{dtype.name}"
    return f"Keep variables in float32: give layers whose variables are {dtype.name} no dtype of their own"


def _narrow(case: Case) -> Iterator[tuple[Optimizer, DType]]:
    """Yield the optimizer with each narrow dtype in which it computes its updates."""
    optimizer = None if case.subject.optimizer is None else case.subject.optimizer.inner_optimizer
    if optimizer is not None and optimizer.update_rounding == NEAREST:
        for dtype in case.variable_dtypes:
            if dtype.low_precision:
                yield optimizer, dtype


def moved(optimizer: Optimizer, dtype: DType, weight: float, gradient: float = 1.0, variables: int = 1) -> float:
    """Return the longest step that a number takes in a few updates with the same gradient; nan if it is lost.

    Args:
        optimizer: which updates.
        dtype: of the variables.
        weight: where they begin.
        gradient: what they are updated with.
        variables: how many there are, all alike; tf_keras's Nadam goes by it.
    """
    alone = dataclasses.replace(
        optimizer,
        gradient_accumulation_steps=None,
        use_ema=False,
        weight_decay=0.0,
        clipnorm=None,
        global_clipnorm=None,
    )
    specs = [WeightSpec(f"w{each}", "w", (1,), dtype, trainable=True, initializer=Zeros()) for each in range(variables)]
    arrays = [np.array([weight], dtype.storage) for _ in specs]
    slots = alone.initial_slots(specs, {spec.path: array for spec, array in zip(specs, arrays, strict=True)})
    longest = 0.0
    with np.errstate(all="ignore"):
        for moment in _MOMENTS:
            before = float(arrays[0][0])
            alone.apply(moment, specs, arrays, [np.array([gradient], dtype.storage) for _ in specs], slots)
            if not np.isfinite(arrays[0][0]):
                return math.nan
            longest = max(longest, abs(float(arrays[0][0]) - before))
    return longest


def swallowed(case: Case) -> Iterator[Finding]:
    """An optimizer that never changes a variable, or none beyond a size that weights have."""
    for optimizer, dtype in _narrow(case):
        step = moved(optimizer, dtype, 0.0, variables=_count(case))
        if math.isnan(step):
            yield _nonfinite(case, optimizer, dtype)
        elif step == 0:
            yield _never(case, optimizer, dtype)
        else:
            yield from _beyond(case, optimizer, dtype, step)


def _count(case: Case) -> int:
    return min(len(case.subject.network.trainable_specs), _MOST_VARIABLES)


def _nonfinite(case: Case, optimizer: Optimizer, dtype: DType) -> Finding:
    rounded = _rounded_away(optimizer, dtype)
    return Finding(
        code="update_nonfinite",
        severity="error",
        layer=None,
        why=f"{_told(rounded, dtype)}the first updates of {optimizer.class_name} are not finite in {dtype.name} even "
        "for a gradient of 1, and are applied.",
        fix=f"{_wide(case, dtype)}, {_ROUND}.",
        source=_SOURCE,
        evidence={"optimizer": optimizer.class_name, "dtype": dtype.name, **rounded},
        about="optimizer",
    )


def _never(case: Case, optimizer: Optimizer, dtype: DType) -> Finding:
    rounded = _rounded_away(optimizer, dtype)
    corrected = {"beta_1", "beta_2"} & set(rounded)
    so = "".join(f"1 - {name} ** t is 0 and " for name in sorted(corrected))
    return Finding(
        code="update_swallowed",
        severity="error",
        layer=None,
        why=f"{_told(rounded, dtype)}{so}no update is ever made: {optimizer.class_name} computes in {dtype.name}, the "
        "dtype of the variables, and not even a weight of 0 moves.",
        fix=f"{_wide(case, dtype)}, {_ROUND}.",
        source=_SOURCE,
        evidence={"optimizer": optimizer.class_name, "dtype": dtype.name, "never_moves": True, **rounded},
        about="optimizer",
    )


def _beyond(case: Case, optimizer: Optimizer, dtype: DType, step: float) -> Iterator[Finding]:
    """Tell from which weight on steps are lost, where they are about as long whatever the gradient is."""
    count = _count(case)
    shorter = moved(optimizer, dtype, 0.0, 1 / 64, count)
    if not 0.8 < shorter / step < 1.25:
        return
    still = next((weight for weight in _WEIGHTS if moved(optimizer, dtype, weight, variables=count) == 0), math.inf)
    if still <= 1:
        yield Finding(
            code="update_swallowed",
            severity="warning",
            layer=None,
            why=f"Steps of {optimizer.class_name} are about {step:.2g} long whatever the gradient is: on {dtype.name} "
            f"weights from {still:g} on they are less than half of what separates two numbers, and change nothing.",
            fix=f"{_wide(case, dtype)}, {_ROUND}.",
            source=_SOURCE,
            evidence={
                "optimizer": optimizer.class_name,
                "dtype": dtype.name,
                "never_moves": False,
                "step": step,
                "still_from": still,
            },
            about="optimizer",
        )


def _rounded_away(optimizer: Optimizer, dtype: DType) -> dict[str, float]:
    """Return the settings that are 1 or 0 once they are rounded, with what was given."""
    found = {name: getattr(optimizer, name, None) for name in (*_SHARES, "learning_rate")}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, float) and value not in {0, 1} and float(number_on(value, dtype)) in {0, 1}
    }


def _told(rounded: dict[str, float], dtype: DType) -> str:
    parts = [
        f"{name} = {value:g} is {float(number_on(value, dtype)):g} in {dtype.name}" for name, value in rounded.items()
    ]
    return f"{' and '.join(parts)}, so " if parts else ""


def hyperparameters(case: Case) -> Iterator[Finding]:
    """Settings that rounding makes another algorithm of, where updates still happen."""
    for optimizer, dtype in _narrow(case):
        moves = moved(optimizer, dtype, 0.0, variables=_count(case)) > 0
        for name in (*_SHARES, *(("ema_momentum",) if optimizer.use_ema else ())):
            value = getattr(optimizer, name, None)
            if value and value < 1 and number_on(value, dtype) == 1 and (moves or name == "ema_momentum"):
                happens = "the average never moves" if name == "ema_momentum" else "what was added to it never fades"
                yield _rounded(case, name, value, dtype, happens)
        for name in ("learning_rate", "weight_decay"):
            value = getattr(optimizer, name, None)
            if value and not isinstance(value, Schedule) and moves:
                yield from _inexact(case, name, value, dtype)
        yield from _idle_decay(case, optimizer, dtype)


def _rounded(case: Case, name: str, value: float, dtype: DType, happens: str) -> Finding:
    held = float(number_on(value, dtype))
    return Finding(
        code="hyperparameter_rounded",
        severity="warning",
        layer=None,
        why=f"{name} = {value:g} is {held:g} in {dtype.name}, in which the optimizer computes: {happens}.",
        fix=f"{_wide(case, dtype)}, {_ROUND}; or choose a {name} that the dtype holds.",
        source=_SOURCE,
        evidence={"setting": name, "dtype": dtype.name, "given": value, "held_as": held},
        about="optimizer",
    )


def _inexact(case: Case, name: str, value: float, dtype: DType) -> Iterator[Finding]:
    held = float(number_on(value, dtype))
    if held == 0 or abs(held / value - 1) > 0.05:
        yield _rounded(case, name, value, dtype, "it is none" if held == 0 else "it is another one")


def _idle_decay(case: Case, optimizer: Optimizer, dtype: DType) -> Iterator[Finding]:
    rate, decay = optimizer.learning_rate, optimizer.weight_decay
    if not decay or isinstance(rate, Schedule) or decay * rate >= dtype.epsilon / 4:
        return
    yield Finding(
        code="update_swallowed",
        severity="warning",
        layer=None,
        why=f"weight_decay times the learning rate is {decay * rate:.2g}, less than a quarter of {dtype.epsilon:.2g}, "
        f"the relative spacing of {dtype.name}: the decay changes no weight.",
        fix=f"{_wide(case, dtype)}, {_ROUND}.",
        source=_SOURCE,
        evidence={"setting": "weight_decay", "dtype": dtype.name, "share": decay * rate, "epsilon": dtype.epsilon},
        about="optimizer",
    )


def clipping(case: Case) -> Iterator[Finding]:
    """Norms of gradients that are computed in a narrow dtype, or limits that are infinite in it."""
    optimizer = None if case.subject.optimizer is None else case.subject.optimizer.inner_optimizer
    if optimizer is None:
        return
    for key in ("clipnorm", "global_clipnorm"):
        limit = getattr(optimizer, key)
        for dtype in case.variable_dtypes:
            if limit and dtype.low_precision and dtype.max < 1e30:
                yield _overflowing_norm(case, key, limit, dtype)


def _overflowing_norm(case: Case, key: str, limit: float, dtype: DType) -> Finding:
    longest, held = math.sqrt(dtype.max), float(number_on(limit, dtype))
    evidence: Evidence = {
        "setting": key,
        "limit": limit,
        "held_as": held if math.isfinite(held) else "inf",
        "longest_norm": longest,
        "dtype": dtype.name,
    }
    becomes = "0" if key == "clipnorm" else "nan"
    beyond = f"gradients whose squares add up beyond {dtype.max:g} (a norm of {longest:.0f}) have an infinite norm"
    why = (
        f"{key} = {limit:g} is infinite in {dtype.name}, the dtype of the variables: every gradient becomes nan."
        if math.isinf(held)
        else f"The norm for {key} is computed in {dtype.name}, the dtype of the variables: {beyond}, and become "
        f"{becomes}."
    )
    return Finding(
        code="clip_norm_overflow",
        severity="error" if math.isinf(held) else "warning",
        layer=None,
        why=why,
        fix=f"{_wide(case, dtype)}, or clip by value: `clipvalue`.",
        source="tf.clip_by_norm, tf.clip_by_global_norm, keras.src.utils.clip_by_norm (observed)",
        evidence=evidence,
        about="optimizer",
    )


UPDATE_RULES: tuple[Rule, ...] = (swallowed, hyperparameters, clipping)
