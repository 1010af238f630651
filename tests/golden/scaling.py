"""G5: scaling losses, unscaling gradients, and updates of variables under a loss scale."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from engine import initializers, ops, scaler, scaler_rules, step
from engine.conventions import TF24
from engine.dtypes import FLOAT32, DType, as_dtype
from engine.errors import EngineError
from engine.gradients import Gradient, RowGradient, dense, values_of
from engine.loss_scale import DynamicLossScale
from engine.optimizers import SGD, Optimizer
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.scaler import ScalerRule
from engine.tape import Array, Tape, Tensor, rounded
from engine.weights import WeightSpec
from tests.golden import optimizers
from tests.golden.outcome import accepted

SLOT_NAMES = {
    ("Adam", "momentum"): "m",
    ("Adam", "velocity"): "v",
    ("Adam", "velocity_hat"): "vhat",
    ("RMSprop", "velocity"): "rms",
    ("RMSprop", "average_gradient"): "mg",
}
"""What TF 2.4 calls a slot, where that is another name."""


def on_grid(values: Any, dtype: DType) -> Array:
    """Numbers of a case in a dtype, as the engine stores it."""
    with np.errstate(over="ignore"):
        return rounded(np.asarray(values, dtype=np.float64).astype(dtype.storage), dtype)


def listed(array: Array) -> Any:
    return np.asarray(array).tolist()


def rule_of(given: dict[str, Any]) -> ScalerRule:
    return DynamicLossScale(given["scale"]).rule if given["dynamic"] else scaler_rules.fixed(given["scale"])


def get_scaled_loss(given: dict[str, Any]) -> dict[str, Any]:
    dtype = as_dtype(given["dtype"])
    loss = Tensor(on_grid(given["loss"], dtype), dtype)
    scaled = step.scaled_loss(loss, rule_of(given).initial().loss_scale, TF24)
    return accepted(dtype=scaled.dtype.name, value=listed(scaled.data))


def get_scaled_loss_error(given: dict[str, Any]) -> dict[str, Any]:
    return accepted(dtype=step.scaled_loss(given["loss"], rule_of(given).initial().loss_scale, TF24).dtype.name)


def get_unscaled_gradients(given: dict[str, Any]) -> dict[str, Any]:
    items = given["grads"]
    dtypes = [as_dtype(item["dtype"]) if item else FLOAT32 for item in items]
    gradients = [gradient_of(item, dtype) if item else None for item, dtype in zip(items, dtypes, strict=True)]
    rule = rule_of(given)
    found = zip(dtypes, step.unscaled(gradients, dtypes, rule, rule.initial().loss_scale), strict=True)
    return accepted(grads=[None if g is None else shown_gradient(g, dtype) for dtype, g in found])


def gradient_of(item: dict[str, Any], dtype: DType) -> Gradient:
    values = on_grid(item["values"], dtype)
    if "indices" not in item:
        return values
    return RowGradient(np.array(item["indices"]), values, tuple(item["dense_shape"]))


def shown_gradient(gradient: Gradient, dtype: DType) -> dict[str, Any]:
    shown = {"dtype": dtype.name, "values": listed(values_of(gradient))}
    if not isinstance(gradient, RowGradient):
        return shown
    return {**shown, "indices": listed(gradient.indices), "dense_shape": list(gradient.shape)}


class Variables:
    """Variables and slots of an optimizer, updated step by step with unscaled gradients."""

    def __init__(self, optimizer: Optimizer, values: Sequence[Any], dtype: DType) -> None:
        self.optimizer = optimizer
        self.arrays = [on_grid(value, dtype) for value in values]
        self.specs = [
            WeightSpec(f"v{index}", f"v{index}", array.shape, dtype, trainable=True, initializer=initializers.Zeros())
            for index, array in enumerate(self.arrays)
        ]
        self.slots = optimizer.initial_slots(self.specs)
        self.touched: set[str] = set()

    def apply(self, iterations: int, gradients: Sequence[Array | None]) -> None:
        copies = [None if gradient is None else gradient.copy() for gradient in gradients]
        self.optimizer.apply(iterations, self.specs, self.arrays, copies, self.slots)
        self.touched |= {spec.path for spec, g in zip(self.specs, gradients, strict=True) if g is not None}

    def differ_from(self, before: Sequence[Array]) -> bool:
        pairs = zip(before, self.arrays, strict=True)
        return any(not np.array_equal(old, new, equal_nan=True) for old, new in pairs)

    def shown_slots(self) -> dict[str, Any]:
        """Slots by name, None where TF has not made them yet: before the first gradient of their variable."""
        slots = {
            SLOT_NAMES.get((self.optimizer.class_name, slot), slot): [
                listed(self.slots[f"{slot}/{spec.path}"]) if spec.path in self.touched else None for spec in self.specs
            ]
            for slot in self.optimizer.slot_names()
        }
        return {"slots": slots} if slots else {}


def apply_gradients(given: dict[str, Any]) -> dict[str, Any]:
    inner = optimizers.read(given["optimizer"])
    assert isinstance(inner, Optimizer)
    wrapper = (
        optimizers.made(given["wrapper"]["class"], inner, given["wrapper"]["kwargs"]) if given["wrapper"] else None
    )
    rule = wrapper.rule if wrapper else scaler.UNSCALED
    variables = Variables(inner, given["variables"], as_dtype(given["dtype"]))
    state, iterations, steps = rule.initial(), 0, []
    for values in given["steps"]:
        gradients = [None if value is None else on_grid(value, as_dtype(given["dtype"])) for value in values]
        before = [array.copy() for array in variables.arrays]
        state, applied = scaler.update(rule, state, step.norm_and_finiteness(gradients)[1])
        refusal = {}
        try:
            iterations = advanced(variables, gradients, iterations, rule, applied)
        except EngineError as error:
            refusal = {"error": error.original, "message": error.message}
        steps.append(
            {
                "weights": [listed(array) for array in variables.arrays],
                "iterations": iterations,
                "changed": variables.differ_from(before),
                "loss_scale": state.loss_scale if wrapper else None,
                "counter": state.counter if wrapper and wrapper.dynamic else None,
                **variables.shown_slots(),
                **refusal,
            }
        )
    return accepted(steps=steps)


def advanced(
    variables: Variables, gradients: Sequence[Array | None], iterations: int, rule: ScalerRule, applied: bool
) -> int:
    """Apply gradients if they are to be applied, and return the optimizer's iterations after that."""
    if applied:
        with np.errstate(all="ignore"):
            variables.apply(iterations, gradients)
    return iterations + 1 if applied or rule.skip_advances_iterations else iterations


def minimize_linear(given: dict[str, Any]) -> dict[str, Any]:
    compute = as_dtype(given["compute_dtype"])
    inner = SGD(learning_rate=given["learning_rate"], conventions=TF24)
    wrapper = LossScaleOptimizer(inner, True, given["initial_scale"], given["dynamic_growth_steps"])
    variables = Variables(inner, [given["weights"]], FLOAT32)
    state, steps = wrapper.rule.initial(), []
    for iterations in range(given["steps"]):
        with np.errstate(all="ignore"):
            loss, scaled, gradient = linear(variables.arrays[0], given["coefficients"], compute, state.loss_scale)
            (found,) = step.unscaled([gradient], [FLOAT32], wrapper.rule, state.loss_scale)
        unscaled = None if found is None else dense(found)
        before = variables.arrays[0].copy()
        state, applied = scaler.update(wrapper.rule, state, step.norm_and_finiteness([unscaled])[1])
        after = advanced(variables, [unscaled], iterations, wrapper.rule, applied)
        steps.append(
            {
                "loss": listed(loss.data),
                "scaled_loss": listed(scaled.data),
                "scaled_grad": listed(gradient),
                "unscaled_grad": None if unscaled is None else listed(unscaled),
                "weights": listed(variables.arrays[0]),
                "loss_scale": state.loss_scale,
                "counter": state.counter,
                "iterations": after,
                "applied": not np.array_equal(before, variables.arrays[0]),
            }
        )
    return accepted(grad_dtype="float32", scaled_loss_dtype=compute.name, steps=steps)


def linear(weights: Array, coefficients: list[float], compute: DType, scale: float) -> tuple[Tensor, Tensor, Array]:
    """The loss sum(cast(w) * c), scaled, and the gradient of that to w."""
    tape = Tape()
    leaf = tape.leaf(weights.copy(), FLOAT32)
    factors = Tensor(on_grid(coefficients, compute), compute)
    loss = ops.reduce_sum(ops.multiply(ops.cast(leaf, compute), factors))
    scaled = ops.scale(loss, scale)
    (gradient,) = tape.gradient(scaled, [leaf])
    assert gradient is not None
    return loss, scaled, gradient


OPS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "get_scaled_loss": get_scaled_loss,
    "get_scaled_loss_error": get_scaled_loss_error,
    "get_unscaled_gradients": get_unscaled_gradients,
    "apply_gradients": apply_gradients,
    "minimize_linear": minimize_linear,
}
