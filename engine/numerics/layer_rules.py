"""Rules about single layers: epsilons, softmax, normalization, penalties, initial values in too narrow a dtype."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from engine.dtypes import DType
from engine.initializers import Orthogonal
from engine.layers import BatchNormalization, Layer, Softmax
from engine.layers.layer_normalization import RowNormalization, UnitNormalization
from engine.losses import CategoricalCrossentropy, SparseCategoricalCrossentropy
from engine.numerics.case import Case, Rule
from engine.numerics.findings import Evidence, Finding
from engine.numerics.plan import LayerPlan, penalized
from engine.optimizers import Nadam
from engine.optimizers.arithmetic import number_on

NORMALIZATIONS = (BatchNormalization, RowNormalization, UnitNormalization)
_SOFTMAXES = ("softmax", "log_softmax")
_LOGIT_LOSSES = (CategoricalCrossentropy, SparseCategoricalCrossentropy)
"""Losses that use the input of a softmax rather than its output."""


def optimizer_epsilon(case: Case) -> Iterator[Finding]:
    """An epsilon of the optimizer that its variables' dtype cannot hold: the update divides by it."""
    if case.subject.optimizer is None:
        return
    optimizer = case.subject.optimizer.inner_optimizer
    for setting in dataclasses.fields(optimizer):
        value = getattr(optimizer, setting.name)
        if not setting.name.startswith("epsilon") or not value:
            continue
        for dtype in case.variable_dtypes:
            if dtype.low_precision and value < dtype.min_normal:
                # Sums of squares that do not start from 0 need no epsilon.
                guarded = getattr(optimizer, "initial_accumulator_value", 0) > 0
                yield _lost_epsilon(f"{optimizer.class_name}.{setting.name}", value, dtype, guarded)


def _lost_epsilon(name: str, value: float, dtype: DType, guarded: bool) -> Finding:
    held = float(number_on(value, dtype))
    happens = (
        f"is 0 in {dtype.name}, where nothing keeps the update for a gradient of 0 from being 0 / 0"
        if held == 0
        else f"is held as {held:.3g} in {dtype.name}, a subnormal with hardly a digit, and gradients below "
        f"{math.sqrt(dtype.min_subnormal / 2):.2g} vanish beside it when they are squared"
    )
    least = 10.0 ** math.ceil(math.log10(dtype.min_normal))
    return Finding(
        code="epsilon_underflow",
        severity="warning" if held or guarded else "error",
        layer=None,
        why=f"{name} = {value:g} {happens}: variables and optimizer work in {dtype.name}.",
        fix=f"Keep variables in float32, as mixed policies do, or raise the epsilon to {least:g}.",
        source="keras-team/keras#11860; google-deepmind/optax#1755",
        evidence={"setting": name, "dtype": dtype.name, **_reach(value, dtype)},
        about="optimizer",
    )


def _reach(value: float, dtype: DType) -> Evidence:
    return {
        "epsilon": value,
        "held_as": float(number_on(value, dtype)),
        "min_normal": dtype.min_normal,
        "min_subnormal": dtype.min_subnormal,
    }


def product_of_momenta(case: Case) -> Iterator[Finding]:
    """tf_keras's Nadam, whose product of momenta shrinks once more for every variable, or not at all at first."""
    optimizer = None if case.subject.optimizer is None else case.subject.optimizer.inner_optimizer
    if not isinstance(optimizer, Nadam) or optimizer.elementwise:
        return
    count = len(case.subject.network.trainable_specs)
    happens = (
        "the first update divides by 0, for the only variable's product is still 1"
        if count == 1
        else f"{count} variables shrink it {count} times an update, so that the bias correction is lost"
    )
    yield Finding(
        code="nadam_product",
        severity="error" if count == 1 else "info",
        layer=None,
        why=f"tf_keras's traced step computes Nadam's product of momenta once for each variable: {happens}.",
        fix="Use Adam, or Keras 3, where this is mended.",
        source="tf_keras.optimizers.Nadam.update_step (2.21.0), observed",
        evidence={"variables": count},
        about="optimizer",
    )


def layer_epsilon(case: Case) -> Iterator[Finding]:
    """An epsilon of a normalization that is nothing in its compute dtype.

    Where it is added in float32 it counts; but gradients of rows that do not vary are multiplied by
    ``1 / sqrt(epsilon)``, and what else runs the model in 16 bits may add it there.
    """
    for layer in case.layers:
        value, dtype = getattr(layer, "epsilon", None), layer.policy.compute
        if not isinstance(layer, NORMALIZATIONS) or not value or not dtype.low_precision or value >= dtype.min_normal:
            continue
        factor = 1 / math.sqrt(value)
        held = float(number_on(value, dtype))
        narrow = getattr(layer, "narrow_statistics", False)
        beyond = factor > dtype.max or (narrow and held == 0)
        grows = (
            f"; and where the inputs do not vary, gradients grow by 1/sqrt(epsilon) = {factor:.3g}, beyond {dtype.name}"
            if factor > dtype.max
            else ""
        )
        why = (
            f"epsilon = {value:g} is {held:.3g} in {dtype.name}, where this layer adds it to the variance: rows that "
            f"do not vary are divided by {math.sqrt(held):.3g}."
            if narrow
            else f"epsilon = {value:g} would be {held:.3g} in {dtype.name}. Keras and this engine add it in float32, "
            f"but kernels that normalize in {dtype.name} lose it{grows}."
        )
        yield Finding(
            code="epsilon_underflow",
            severity="warning" if beyond else "info",
            layer=layer.name,
            why=why,
            fix=f'Set epsilon to at least {max(dtype.min_normal, 1e-4):.0e}, or give the layer dtype "float32".',
            source="deepspeedai/DeepSpeed#581; tensorflow/tensorflow#24979; keras-team/keras#22586",
            evidence={"dtype": dtype.name, **_reach(value, dtype), "gradient_factor": factor},
        )


def softmax(case: Case) -> Iterator[Finding]:
    """A softmax whose probabilities are rounded to a narrow dtype (that inside attention runs in float32)."""
    for layer in case.layers:
        names = {getattr(getattr(layer, key, None), "name", "") for key in ("activation", "recurrent_activation")}
        dtype = layer.policy.compute
        if not dtype.low_precision or not (isinstance(layer, Softmax) or names & set(_SOFTMAXES)):
            continue
        spared = layer.name == case.head and isinstance(case.loss, _LOGIT_LOSSES)
        rest = "; the loss uses its input instead, so training is spared, predictions are not" if spared else ""
        yield Finding(
            code="softmax_low_precision",
            severity="info" if spared else "warning",
            layer=layer.name,
            why=f"Probabilities are rounded to {dtype.name}: those below {dtype.min_subnormal / 2:.2g} become 0, and "
            f"next to 1 they step by {dtype.epsilon / 2:.2g}{rest}.",
            fix='Give the layer dtype "float32"; where it has weights, split the softmax off into an Activation layer.',
            source="pytorch/pytorch#88929; torch.autocast runs softmax in float32; TensorFlow's mixed precision guide",
            evidence={"dtype": dtype.name, "min_subnormal": dtype.min_subnormal, "epsilon": dtype.epsilon},
        )


def normalization(case: Case) -> Iterator[Finding]:
    """A normalization with narrow parameters, or of inputs that were rounded to a narrow dtype first."""
    for plan in case.plans:
        for layer in (inner for inner in case.layers if _belongs(inner, plan)):
            if isinstance(layer, NORMALIZATIONS):
                yield from _narrow_parameters(layer, plan)
                yield from _narrow_inputs(layer, plan)


def _belongs(layer: Layer, plan: LayerPlan) -> bool:
    return layer is plan.layer or (layer.name or "").startswith(f"{plan.layer.name}/")


def _narrow_parameters(layer: Layer, plan: LayerPlan) -> Iterator[Finding]:
    specs = [spec for spec in plan.calls[0].call.weights if spec.path.startswith(f"{layer.name}/")]
    dtype = next((spec.dtype for spec in specs if spec.dtype.low_precision), None)
    if dtype is not None:
        yield Finding(
            code="normalization_low_precision",
            severity="warning",
            layer=layer.name,
            why=f"Scale and offset are {dtype.name}: near 1, an update below {dtype.epsilon / 4:.2g} changes nothing.",
            fix='Give the layer dtype "float32" or a mixed policy, so that they are float32.',
            source="pytorch/pytorch#88929; arXiv 2010.06192",
            evidence={"dtype": dtype.name, "smallest_update_of_1": dtype.epsilon / 4},
        )


def _narrow_inputs(layer: Layer, plan: LayerPlan) -> Iterator[Finding]:
    """What the statistics lose where inputs arrive narrow; those that are narrow themselves are for the sum rules."""
    outer = plan.calls[0].entered[0] if plan.calls[0].entered else layer.policy.compute
    dtype = outer if layer is plan.layer else layer.entering_dtype(outer)
    if dtype.low_precision and not getattr(layer, "narrow_statistics", False):
        whole = 1 / dtype.epsilon * 2
        yield Finding(
            code="normalization_low_precision",
            severity="info",
            layer=layer.name,
            why=f"Statistics are taken in float32, but the inputs are {dtype.name}: beyond {whole:g}, inputs that "
            f"differ by 1 are equal, and beyond {dtype.max:g} they are infinite.",
            fix='If inputs have a mean far from 0, give the layer and the one before it dtype "float32".',
            source="tensorflow/tensorflow#34406; keras-team/keras-core#412",
            evidence={"dtype": dtype.name, "integers_up_to": whole, "max": dtype.max},
        )


def activity_regularizer(case: Case) -> Iterator[Finding]:
    """An activity penalty, which is summed up over the batch in the dtype of the layer's output."""
    found = {
        layer.name: (dtype, plan)
        for plan in case.plans
        for call in plan.calls
        for layer, dtype in penalized(call)
        if dtype.low_precision
    }
    for name, (dtype, plan) in found.items():
        rows = math.prod(size or 1 for size in plan.output_shape[1:]) * case.subject.batch_size
        yield Finding(
            code="activity_regularizer_low_precision",
            severity="warning",
            layer=name,
            why=f"The penalty on {rows} outputs a step is summed in {dtype.name}: it is infinite as soon as their mean "
            f"square (L2) or magnitude (L1) exceeds {dtype.max / rows:.3g}, and the loss with it.",
            fix='Give the layer dtype "float32", or penalize weights, whose penalty is computed in their own dtype.',
            source="tf.keras.layers.Layer._handle_activity_regularization (TF 2.4, observed)",
            evidence={"dtype": dtype.name, "outputs": rows, "max": dtype.max, "largest_mean": dtype.max / rows},
        )


def initial_values(case: Case) -> Iterator[Finding]:
    """Orthogonal initial values in a dtype for which TensorFlow has no QR kernel, on GPUs either."""
    without = ("float16", "bfloat16") if case.subject.conventions.fused_updates else ("bfloat16",)
    specs = {spec.path: spec for plan in case.plans for spec in plan.calls[0].call.weights}
    for path, spec in specs.items():
        if isinstance(spec.initializer, Orthogonal) and spec.dtype.name in without:
            yield Finding(
                code="initializer_without_kernel",
                severity="warning",
                layer=path.rpartition("/")[0],
                why=f"{path} is {spec.dtype.name} and starts orthogonal, but TensorFlow has no QR kernel for it: "
                "there the layer cannot be built. Here its values are made in float32 and rounded.",
                fix="Keep variables in float32 (a mixed policy), or choose another initializer (glorot_uniform).",
                source="tf.linalg.qr in TF 2.4.4 (float16, bfloat16) and TF 2.21 (bfloat16), observed",
                evidence={"dtype": spec.dtype.name, "variable": path},
            )


LAYER_RULES: tuple[Rule, ...] = (
    optimizer_epsilon,
    product_of_momenta,
    layer_epsilon,
    softmax,
    normalization,
    activity_regularizer,
    initial_values,
)
