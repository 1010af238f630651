"""One training step, in its three parts: gradients of the scaled loss, the verdict on them, the update.

Only models use a loss scale, layers never do: it multiplies the total loss, cast to the loss's dtype first
(TF: ``LossScaleOptimizer.get_scaled_loss``), and is divided out of the gradients before clipping and the update.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from engine import ops, scaler
from engine.compilation import Compilation
from engine.conventions import Conventions
from engine.dtypes import FLOAT32, FLOAT64, DType
from engine.errors import InvalidType
from engine.gradients import Gradient, Gradients, RowGradient, mapped, values_of
from engine.heads import matched
from engine.network import Network
from engine.optimizers.arithmetic import number_on
from engine.optimizers.joined import Settled
from engine.optimizers.overwriting import kept_scaled
from engine.rows import Rows, tensors
from engine.run import Noise
from engine.scaler import UNSCALED, ScalerRule, ScalerState, update
from engine.tape import Array, Pulse, Tensor, rounded, unhurried
from engine.watching import UNWATCHED, Watch


@dataclass(frozen=True, slots=True)
class Backward:
    """What a forward and backward pass gives.

    Attributes:
        loss: total loss without scale, penalties included; dtype as Keras computes it.
        parts: the loss of each output that has one, unweighted.
        predictions: the outputs, on the grids of their dtypes.
        gradients: of the **scaled** loss, one per trainable variable, in the variable dtype: arrays, or the rows of
            an embedding; None where the loss does not depend on it.
        updates: new values of moving statistics by path.
    """

    loss: Tensor
    parts: tuple[Tensor, ...]
    predictions: tuple[Tensor, ...]
    gradients: list[Gradient | None]
    updates: dict[str, Array]


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a step's gradients before anything was updated.

    Attributes:
        gradients: without the loss scale.
        finite: whether every one was finite.
        grad_norm: Euclidean norm of all of them together.
    """

    gradients: list[Gradient | None]
    finite: bool
    grad_norm: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a step's gradients.

    Attributes:
        finite: whether every unscaled gradient was finite.
        applied: whether the variables were updated.
        scaler: the loss scale of the next step.
        iterations: of the optimizer, after the step.
        grad_norm: Euclidean norm of all unscaled gradients together.
    """

    finite: bool
    applied: bool
    scaler: ScalerState
    iterations: int
    grad_norm: float


def backward(
    network: Network,
    compilation: Compilation,
    settled: Settled,
    batch: Rows,
    loss_scale: float,
    noise: Noise,
    watch: Watch = UNWATCHED,
    pulse: Pulse = unhurried,
) -> Backward:
    """Run the network on a batch and differentiate the scaled loss.

    Args:
        network: what to run.
        compilation: its loss and optimizer.
        settled: values of the variables.
        batch: the rows of the step.
        loss_scale: what the loss is multiplied by.
        noise: where random layers draw from.
        watch: who looks on.
        pulse: called before each op; what it raises ends the step, and nothing has changed.
    """
    run = watch.run(network.weight_specs, settled, network.conventions, noise)
    if run.tape is not None:
        run.tape.pulse = pulse
    predictions = tuple(network.forward(run, tensors(network, batch.inputs)))
    run.forward_done()
    parts = losses_of(compilation, batch, predictions)
    loss = total_loss(
        weighted_sum(compilation, parts, network.conventions), network.penalties(run), network.conventions
    )
    run.loss_done(loss)
    scaled = loss if compilation.rule == UNSCALED else scaled_loss(loss, loss_scale, network.conventions)
    run.backward_begins()
    return Backward(loss, parts, predictions, run.gradients(scaled, network.trainable_specs), run.updates)


def losses_of(compilation: Compilation, batch: Rows, predictions: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the losses of the outputs that have one, each by itself and unweighted."""
    found = []
    for head, y, output, weights in zip(compilation.heads, batch.labels, predictions, batch.weights, strict=True):
        if head.loss is not None:
            labels, counts = matched(y, weights, output, head.loss.conventions)
            found.append(head.loss(labels, output, counts))
    return tuple(found)


def weighted_sum(compilation: Compilation, parts: Sequence[Tensor], conventions: Conventions) -> Tensor:
    """Return the sum of the outputs' losses, each times its weight, added up in the order of the outputs."""
    counts = [head.weight for head in compilation.heads if head.loss is not None]
    counted = [part if by is None else ops.scale(part, by) for part, by in zip(parts, counts, strict=True)]
    return total_loss(counted[0], counted[1:], conventions)


def scaled_loss(loss: Any, loss_scale: float, conventions: Conventions) -> Tensor:
    """Return the loss times its scale.

    Keras 2 first casts the scale to the loss's dtype, in which 2**16 may be infinite; in Keras 3 the scale is a float32
    variable, so that a narrower loss becomes float32.

    Raises:
        InvalidType: the loss is no tensor.
    """
    if not isinstance(loss, Tensor):
        text = f"A loss must be a tensor, whose dtype the scale is cast to, but got: {loss!r}"
        raise InvalidType(text, code="not_a_tensor", original="AttributeError")
    wide = ops.cast(loss, widest([loss.dtype, FLOAT32])) if conventions.keras3 else loss
    with np.errstate(all="ignore"):
        return ops.scale(wide, loss_scale)


def total_loss(loss: Tensor, penalties: Sequence[Tensor], conventions: Conventions) -> Tensor:
    """Return the sum of the loss and the penalties: in the widest of their dtypes (Keras 2) or in floatx (Keras 3)."""
    if not penalties:
        return loss
    parts = [loss, *penalties]
    dtype = conventions.floatx if conventions.floatx_losses else widest([part.dtype for part in parts])
    cast = [ops.cast(part, dtype) for part in parts]
    total = cast[0]
    for part in cast[1:]:
        total = ops.add(total, part)
    return total


def widest(dtypes: Sequence[DType]) -> DType:
    """Return the dtype in which numbers of several dtypes are added: their own, else float32, else float64."""
    if FLOAT64 in dtypes:
        return FLOAT64
    return dtypes[0] if all(dtype is dtypes[0] for dtype in dtypes) else FLOAT32


def unscaled(
    gradients: Gradients,
    dtypes: Sequence[DType],
    rule: ScalerRule,
    loss_scale: float,
    room: Sequence[Array | None] = (),
) -> list[Gradient | None]:
    """Return gradients without the loss scale, in other arrays unless nothing is scaled.

    TF multiplies by the float32 reciprocal (3 * 0.1 / 3 is 0.10000001), Keras 3 divides; either number is first cast
    to the gradient's dtype, so that 1/65536 is subnormal in float16.

    Args:
        gradients: of the scaled loss; None where there is none.
        dtypes: of the gradients, one each.
        rule: how the loss is scaled.
        loss_scale: what it was multiplied by.
        room: an array to write to, or None, for each gradient; for none of them by default.
    """
    if rule == UNSCALED:
        return list(gradients)
    number = np.float32(loss_scale) if rule.unscale == "divide" else np.float32(scaler.reciprocal(rule, loss_scale))
    operation = np.divide if rule.unscale == "divide" else np.multiply
    distinct = {dtype.name: dtype for dtype in dtypes}
    on_grid = {name: number_on(number, dtype) for name, dtype in distinct.items()}
    found: list[Gradient | None] = []
    with np.errstate(all="ignore"):
        for gradient, dtype, out in zip(gradients, dtypes, room or [None] * len(dtypes), strict=True):
            if gradient is None:
                found.append(None)
            elif isinstance(gradient, RowGradient):
                found.append(mapped(partial(_combined, operation, on_grid[dtype.name], dtype), gradient))
            else:
                found.append(_combined(operation, on_grid[dtype.name], dtype, gradient, out))
    return found


def _combined(operation: np.ufunc, by: Any, dtype: DType, values: Array, out: Array | None = None) -> Array:
    return rounded(operation(values, by, out=out), dtype)


def norm_and_finiteness(gradients: Gradients) -> tuple[float, bool]:
    """Return the Euclidean norm of all gradients together, and whether all entries are finite (none: they are)."""
    arrays = [values_of(gradient) for gradient in gradients if gradient is not None]
    total = sum(float(np.vdot(g, g)) for g in arrays)
    if math.isfinite(total):
        return math.sqrt(total), True
    # The sum of squares overflows long before an entry does: look closer before calling it nonfinite.
    if not all(bool(np.isfinite(g).all()) for g in arrays):
        return total, False
    return float(np.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in arrays))), True


def judge(
    network: Network,
    compilation: Compilation,
    settled: Settled,
    scaled_gradients: Gradients,
    loss_scale: float,
    watch: Watch = UNWATCHED,
) -> Judged:
    """Unscale gradients and look whether they are finite; nothing is updated.

    Keras 3 tests the scaled gradients, Keras 2 the unscaled ones.

    Args:
        network: whose variables they belong to.
        compilation: its loss scale.
        settled: values of the variables, and the slots.
        scaled_gradients: of the scaled loss, one per trainable variable.
        loss_scale: what the loss was multiplied by.
        watch: who looks on.
    """
    specs = network.trainable_specs
    rule = compilation.rule
    gradients = unscaled(scaled_gradients, [spec.dtype for spec in specs], rule, loss_scale, settled.room)
    gradients = kept_scaled(specs, scaled_gradients, gradients)
    watch.unscaled(specs, scaled_gradients, gradients, 1.0 if rule == UNSCALED else loss_scale)
    norm, finite = norm_and_finiteness([g for g, spec in zip(gradients, specs, strict=True) if not spec.overwritten])
    if rule.unscale == "divide" and finite and loss_scale > 1:
        # What is finite was so before it was divided, but for what overwrites variables and was left out above.
        overwriting = [g for g, spec in zip(scaled_gradients, specs, strict=True) if spec.overwritten]
        finite = not overwriting or norm_and_finiteness(overwriting)[1]
    return Judged(gradients, finite, norm)


def apply_gradients(
    network: Network,
    compilation: Compilation,
    settled: Settled,
    judged: Judged,
    state: ScalerState,
    iterations: int,
    watch: Watch = UNWATCHED,
) -> Verdict:
    """Move the loss scale, and update variables and slots in place unless the step is skipped.

    Args:
        network: whose variables they are.
        compilation: its loss scale.
        settled: values of the variables, and the slots.
        judged: the unscaled gradients.
        state: of the loss scale.
        iterations: of the optimizer.
        watch: who looks on.
    """
    specs = network.trainable_specs
    rule = compilation.rule
    following, applied = update(rule, state, judged.finite)
    if applied:
        variables = [settled.variables[spec.path] for spec in specs]
        watch.update(settled.updater, iterations, specs, variables, judged.gradients, settled.slots)
    counted = iterations + 1 if applied or rule.skip_advances_iterations else iterations
    return Verdict(judged.finite, applied, following, counted, judged.grad_norm)
