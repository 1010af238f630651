"""What a training came to, judged when its last step is done: whether it succeeded, and what is doubtful about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.failing import layer_of, told
from engine.numerics.changes import changes, nonfinite_layers
from engine.records import TrainingFailed
from engine.state import TrainState
from engine.tape import Array
from engine.weights import WeightSpec
from worker.faults import applied_nonfinite, blame_of, loss_alone
from worker.jobs.records import JobWarning, StepFault

SETTLING_STEPS = 100
"""Steps in which a dynamic loss scale looks for its place; skipping some of them is how it is meant to be."""
MANY = 0.05
"""Share of the steps after those that may be skipped without a word."""
MOST = 0.5
"""The same of all steps of a job, however short."""


def check_applied(state: TrainState, faults: Sequence[StepFault]) -> None:
    """Check that a training did anything at all.

    Args:
        state: after the last step.
        faults: the steps that were not finite.

    Raises:
        TrainingFailed: not one step was applied.
    """
    if state.step == 0 or state.skipped < state.step:
        return
    which = "The only step was" if state.step == 1 else f"All {state.step} steps were"
    text = (
        f"{which} skipped because the gradients were not finite, so nothing was trained and the weights are those that "
        "the training began with."
    )
    if not faults:
        raise TrainingFailed(text, code="never_stepped", step=state.step)
    first = faults[0]
    blame = blame_of(first)
    why = "nobody looked for the cause." if blame is None else told(blame)
    text = f"{text} At step {first.step}, loss scale {first.loss_scale_before:g}: {why}"
    if blame is not None and blame.any_scale_helps:
        text = f"{text} Begin with a smaller loss scale, or train for more steps than it takes to come down."
    raise TrainingFailed(text, code="never_stepped", step=first.step, layer=layer_of(blame))


def warnings_of(
    specs: Sequence[WeightSpec],
    state: TrainState,
    faults: Sequence[StepFault],
    begun_with: Mapping[str, Array],
    *,
    had_gradients: bool,
) -> tuple[JobWarning, ...]:
    """Return what is doubtful about a training that has ended and did something.

    Args:
        specs: of all variables.
        state: after the last step.
        faults: the steps that were not finite.
        begun_with: values of the variables before the first step.
        had_gradients: whether any step had a gradient that is not 0, as far as that was recorded.
    """
    lost = nonfinite_layers([spec for spec in specs if spec.trainable], state.variables)
    return (
        *_of_faults(state, faults, lost=bool(lost)),
        *_of_changes(specs, state, begun_with, had_gradients=had_gradients),
        *_of_values(specs, state),
    )


def _of_faults(state: TrainState, faults: Sequence[StepFault], *, lost: bool) -> Iterator[JobWarning]:
    skipped = [fault for fault in faults if not fault.applied]
    late = sum(fault.step > SETTLING_STEPS for fault in skipped)
    after = max(state.step - SETTLING_STEPS, 0)
    if late > MANY * after or len(skipped) > MOST * state.step:
        yield _many_skipped(skipped, late, after, state.step)
    applied = [fault for fault in faults if fault.applied and not lost]  # these say that the weights are finite
    for alone in (True, False):
        found = [fault for fault in applied if fault.grads_finite is alone]
        if found:
            blame = next((blame_of(fault) for fault in found if fault.detail is not None), None)
            ends = (found[0].step, found[-1].step, len(found))
            yield loss_alone(*ends, float("nan"), blame) if alone else applied_nonfinite(*ends, blame)


def _many_skipped(skipped: Sequence[StepFault], late: int, after: int, steps: int) -> JobWarning:
    last = next((fault for fault in reversed(skipped) if fault.detail is not None), skipped[-1])
    blame = blame_of(last)
    share = f"{len(skipped)} of {steps} steps were skipped"
    if after:
        share += f", {late} of them among the {after} after step {SETTLING_STEPS}"
    why = "nobody looked for the cause." if blame is None else told(blame)
    text = f"{share}: the model has learnt from the others only. At step {last.step}: {why}"
    return JobWarning("many_steps_skipped", text, step=last.step)


def _of_changes(
    specs: Sequence[WeightSpec], state: TrainState, begun_with: Mapping[str, Array], *, had_gradients: bool
) -> Iterator[JobWarning]:
    trained = [spec for spec in specs if spec.trainable]
    found = changes(trained, begun_with, state.variables)
    applied = state.step - state.skipped
    if found.size and not found.changed:
        yield _nothing_changed(found.size, applied, found.narrow, had_gradients=had_gradients)
    elif found.still:
        names = ", ".join(map(repr, found.still[:5])) + (", ..." if len(found.still) > 5 else "")
        text = f"{applied} steps were applied, but not one weight of layer {names} changed: {_swallowed(found.narrow)}"
        yield JobWarning("update_swallowed", text, "/policy")


def _nothing_changed(size: int, applied: int, narrow: Sequence[str], *, had_gradients: bool) -> JobWarning:
    text = f"{applied} steps were applied, but 0 of {size} weights changed: "
    if not had_gradients:
        why = "every gradient was 0, so nothing was learnt. Look at what lies between the weights and the loss."
        return JobWarning("weights_unchanged", text + why, "/model")
    if narrow:
        return JobWarning("update_swallowed", text + _swallowed(narrow), "/policy")
    why = "there were gradients, but every update was 0. Look at the learning rate and at gradient accumulation."
    return JobWarning("weights_unchanged", text + why, "/compile/optimizer")


def _swallowed(narrow: Sequence[str]) -> str:
    dtypes = " and ".join(narrow)
    return (
        f"they are kept in {dtypes}, in which the updates, or the optimizer's own numbers, are rounded away. Give the "
        'optimizer `update_rounding` "stochastic" or "kahan", or use a mixed policy, which keeps weights in float32.'
    )


def _of_values(specs: Sequence[WeightSpec], state: TrainState) -> Iterator[JobWarning]:
    trained = nonfinite_layers([spec for spec in specs if spec.trainable], state.variables)
    if trained:
        names = ", ".join(map(repr, trained))
        text = f"The weights of layer {names} are not finite: the model that was saved gives nothing but nan."
        yield JobWarning("nonfinite_weights", text, "/model")
    others = nonfinite_layers([spec for spec in specs if not spec.trainable], state.variables)
    if others:
        names = ", ".join(map(repr, others))
        text = (
            f"The statistics of layer {names} are not finite, because a step that was not finite moves them too, as in "
            "Keras: training goes on with those of each batch, but predictions of the model are not finite."
        )
        yield JobWarning("nonfinite_statistics", text, "/model")
