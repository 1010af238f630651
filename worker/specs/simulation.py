"""`/v1/loss-scales/simulate`: how a loss scale moves under the rule of any system, step by step, exact to the bit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field, WithJsonSchema

from engine import scaler
from engine.dtypes import DType, as_dtype
from engine.errors import EngineError, ScaleExhausted
from engine.scaler import ScalerRule, ScalerState
from worker.specs.errors import FieldError, SpecError, from_engine
from worker.specs.notices import Fault, Notice
from worker.specs.scaler_settings import DEFAULT, RuleName, rule_of
from worker.specs.shape import Anything, Config, OpenSpec, Spec
from worker.specs.wording import shown

_NONFINITE = frozenset({"nan", "inf", "-inf", "NaN", "Infinity", "-Infinity"})
_ACCEPTED = 'a number, "nan", "inf", "-inf", null (no gradient), or a list of such'
_GRADIENT = {
    "anyOf": [
        {"type": "number"},
        {"enum": ["nan", "inf", "-inf"]},
        {"type": "null"},
        {"type": "array", "items": {"type": "number"}},
    ]
}


def _listed(items: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "array", "items": items}, {"type": "null"}]})


# Looked at in here rather than by pydantic: how long they are goes first, and one fault of millions is enough.
Steps: TypeAlias = Annotated[Anything, _listed({"type": "array", "items": _GRADIENT})]
Finite: TypeAlias = Annotated[Anything, _listed({"type": "boolean"})]


class SimulateRequest(Spec):
    """A loss scale, and what its gradients are like: `steps` or `finite`."""

    loss_scale: Config = Field(
        description='A number, "dynamic" (the defaults of the rule), null, a serialized loss scale, or the settings of '
        "the rule in its system's own words.",
        examples=["dynamic", {"init_scale": 65536.0, "growth_interval": 100}],
    )
    rule: RuleName | None = Field(
        default=None, description="Whose rule moves it; null for TF 2.4's.", examples=["torch"]
    )
    gradient_dtype: Literal["float16", "bfloat16", "float32", "float64"] = Field(
        default="float32", description="To which the gradients of `steps` are rounded before they are looked at."
    )
    steps: Steps = Field(
        default=None,
        description=f"The gradients of each step: {_ACCEPTED}. A step without gradients counts as finite.",
        examples=[[[1.0, 2.0], ["inf", 0.5]]],
    )
    finite: Finite = Field(
        default=None, description="Of each step, whether all its gradients are finite.", examples=[[True, False, True]]
    )


class ScaleState(OpenSpec):
    """A loss scale between two steps."""

    loss_scale: float | None = Field(
        description="Exactly a float32 (a double under rules of Python); null: not finite."
    )
    counter: int | None = Field(description="Finite steps counted towards a growth; null where nothing is counted.")
    patience: int = Field(default=0, description="Nonfinite steps that may still pass without shrinking (hysteresis).")
    overflows: int = Field(default=0, description="Nonfinite steps since the last shrinking (tolerance).")
    since_change: int = Field(default=0, description="Steps since the last change of scale (tolerance).")


class SimulatedStep(OpenSpec):
    """A step, and the scale after it."""

    step: int = Field(description="From 1.")
    loss_scale: float | None = Field(description="After the step; null for one that is not finite.")
    counter: int | None
    should_apply: bool = Field(description="Whether the step's gradients are applied to the variables.")


class Simulated(Spec):
    """How the loss scale moved."""

    rule: str
    settings: dict[str, Any] = Field(description="Of the rule, as it was run; the same words for every system.")
    initial: ScaleState
    trajectory: tuple[SimulatedStep, ...]
    final: ScaleState
    applied: int = Field(description="Steps whose gradients were applied.")
    skipped: int
    stopped: Fault | None = Field(default=None, description="Why the rule stopped the run before the last step.")
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class SimulationLimits:
    """The longest simulation.

    Attributes:
        steps: of one simulation.
        gradients: numbers in all its steps together.
    """

    steps: int
    gradients: int


def simulate(request: SimulateRequest, limits: SimulationLimits) -> Simulated:
    """Move a loss scale through steps.

    Raises:
        SpecError: no loss scale or rule, more steps than are accepted, or gradients that are no numbers.
    """
    finite = tuple(_finite_steps(request, limits))
    try:
        rule, warnings = rule_of(request.loss_scale, request.rule)
    except EngineError as error:
        raise SpecError([from_engine(error, request.given(), "loss_scale")]) from error
    state, trajectory, stopped = rule.initial(), [], None
    initial = state
    for number, good in enumerate(finite, 1):
        try:
            state, applied = scaler.update(rule, state, good)
        except ScaleExhausted as error:
            stopped = Fault(code=error.code, type=error.original, message=error.message, pointer=_step(request, number))
            break
        counter = state.counter if rule.checked else None
        # Made without a look at the values, which are our own: there may be a hundred thousand.
        trajectory.append(
            SimulatedStep.model_construct(
                step=number, loss_scale=state.loss_scale, counter=counter, should_apply=applied
            )
        )
    applied_steps = sum(entry.should_apply for entry in trajectory)
    return Simulated(
        rule=request.rule or DEFAULT,
        settings=asdict(rule),
        initial=_shown(rule, initial),
        trajectory=tuple(trajectory),
        final=_shown(rule, state),
        applied=applied_steps,
        skipped=len(trajectory) - applied_steps,
        stopped=stopped,
        warnings=(*warnings, *_never_shrinks(rule)),
    )


def _never_shrinks(rule: ScalerRule) -> tuple[Notice, ...]:
    if rule.hysteresis >= 1:
        return ()
    text = (
        f"A hysteresis of {rule.hysteresis} never counts down to 1, so the scale never shrinks: after an overflow that "
        "stays, every step is skipped."
    )
    return (Notice(code="never_shrinks", message=text, pointer="/loss_scale/hysteresis"),)


def _shown(rule: ScalerRule, state: ScalerState) -> ScaleState:
    return ScaleState(**{**asdict(state), "counter": state.counter if rule.checked else None})


def _step(request: SimulateRequest, number: int) -> str:
    return f"/{'finite' if request.steps is None else 'steps'}/{number - 1}"


def _finite_steps(request: SimulateRequest, limits: SimulationLimits) -> Iterator[bool]:
    """Return whether each step is finite, after a look at how many there are."""
    if (request.steps is None) == (request.finite is None):
        text = "Send the gradients of each step as `steps`, or whether each is finite as `finite`, not both or neither."
        raise _refused("steps_or_finite", text, "")
    key = "finite" if request.steps is None else "steps"
    given: Any = request.finite if request.steps is None else request.steps
    _check_list(given, f"`{key}`", f"/{key}")
    if len(given) > limits.steps:
        text = (
            f"`{key}` may have at most {limits.steps} steps here (HALFSTEP_MAX_SIMULATED_STEPS). Received: "
            f"{len(given)}."
        )
        raise _refused("too_many_steps", text, f"/{key}")
    return map(_flag, enumerate(given)) if request.steps is None else _looked_at(request, limits.gradients)


def _check_list(value: Any, name: str, pointer: str) -> None:
    if not isinstance(value, list | tuple):
        raise _refused("invalid_type", f"{name} must be a list. Received: {shown(value)}.", pointer, "TypeError")


def _flag(entry: tuple[int, Any]) -> bool:
    index, value = entry
    if not isinstance(value, bool):
        text = f"`finite[{index}]` must be true or false. Received: {shown(value)}."
        raise _refused("invalid_type", text, f"/finite/{index}", "TypeError")
    return value


def _looked_at(request: SimulateRequest, left: int) -> Iterator[bool]:
    """Yield of each step whether its gradients are finite in their dtype; `left` is how many there may be."""
    dtype = as_dtype(request.gradient_dtype)
    for index, gradients in enumerate(request.steps):
        _check_list(gradients, f"`steps[{index}]`", f"/steps/{index}")
        numbers = list(islice(_numbers(gradients, (index,)), left + 1))
        left -= len(numbers)
        if left < 0:
            text = (
                "`steps` has more gradients in all than are accepted here (HALFSTEP_MAX_SIMULATED_GRADIENTS); send "
                "`finite` instead."
            )
            raise _refused("too_many_gradients", text, "/steps")
        yield _all_finite(numbers, dtype)


def _numbers(value: Any, place: tuple[int, ...]) -> Iterator[float]:
    """Yield the numbers of nested lists; null is no gradient."""
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers(item, (*place, index))
    elif value is not None:
        yield _number(value, place)


def _number(value: Any, place: tuple[int, ...]) -> float:
    if isinstance(value, str) and value in _NONFINITE:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        where = "".join(f"[{index}]" for index in place)
        text = f"`steps{where}` must be {_ACCEPTED}. Received: {shown(value)}."
        raise _refused("invalid_gradient", text, "/".join(["/steps", *map(str, place)]), "TypeError")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _all_finite(numbers: list[float], dtype: DType) -> bool:
    if all(-dtype.max <= number <= dtype.max for number in numbers):
        return True  # no array is made for the many steps whose gradients are plain
    with np.errstate(over="ignore"):
        rounded = np.asarray(numbers, dtype=np.float64).astype(dtype.edge)
    return bool(np.all(np.isfinite(rounded)))


def _refused(code: str, message: str, pointer: str, kind: str = "ValueError") -> SpecError:
    return SpecError([FieldError(code, kind, message, pointer)])
