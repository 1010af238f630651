"""Whether and how the loss of a model will be scaled, why, and what the scale becomes in the dtype of the loss.

Sources: ``Model._get_optimizer`` of TF 2.4, ``Trainer.compile`` of Keras 3.15.1 (observed), and
``LossScaleOptimizer.get_scaled_loss``, which casts the scale to the dtype of the loss before it multiplies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.dtypes import FLOAT16, DType
from engine.losses import Loss
from engine.numerics.plan import penalized, plan_of_calls
from engine.numerics.subject import Subject
from engine.optimizers.arithmetic import number_on
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.policy import PolicyV1
from engine.scaler import UNSCALED, ScalerRule
from engine.step import widest
from engine.tape import Tensor

Kind = Literal["none", "fixed", "dynamic"]


@dataclass(frozen=True, slots=True)
class LossScaling:
    """How the loss is scaled.

    Attributes:
        kind: "none", "fixed" (gradients are never looked at) or "dynamic" (nonfinite steps are skipped).
        decided_by: stable name of the rule of ``compile`` that decided.
        why: the rule in words.
        optimizer: class of what the model trains with; None where it is not known.
        rule: how the scale moves.
        loss_dtype: dtype of the total loss, penalties included.
        as_cast: the first scale as a number of that dtype; may be infinite.
        lost_steps: first steps that are skipped until a dynamic scale fits into the dtype of the loss.
        factor_reset: whether ``compile`` took away a ``loss_scale_factor`` of the optimizer, as Keras 3 does.
    """

    kind: Kind
    decided_by: str
    why: str
    optimizer: str | None
    rule: ScalerRule
    loss_dtype: DType
    as_cast: float
    lost_steps: int
    factor_reset: bool = False

    @property
    def loss_scale(self) -> float:
        """Of the first step; 1.0 where the loss is not scaled."""
        return float(self.rule.initial_scale)

    @property
    def effective(self) -> bool:
        """Whether the loss is multiplied by anything but 1."""
        return self.kind == "dynamic" or (self.kind == "fixed" and self.loss_scale != 1)


def loss_scaling(subject: Subject) -> LossScaling:
    """Return how the loss of a model is scaled once it is compiled.

    Raises:
        InvalidValue: ``compile`` would refuse the loss scale of the policy, or the scale lies beyond every float32.
    """
    wrapped, given = subject.wrapped, subject.optimizer
    rule, dtype = wrapped.rule, loss_dtype(subject)
    reason = next(reason for reason in _REASONS if reason.holds(subject))
    return LossScaling(
        kind="none" if rule == UNSCALED else "dynamic" if rule.checked else "fixed",
        decided_by=reason.code,
        why=reason.why.format(name=subject.policy.name),
        optimizer=None if given is None and rule == UNSCALED else wrapped.class_name,
        rule=rule,
        loss_dtype=dtype,
        as_cast=cast_scale(rule.initial_scale, dtype),
        lost_steps=_lost_steps(rule, dtype),
        factor_reset=given is not None
        and given.inner_optimizer.loss_scale_factor is not None
        and wrapped.inner_optimizer.loss_scale_factor is None,
    )


def cast_scale(scale: float, dtype: DType) -> float:
    """Return a loss scale as a number of the dtype of the loss: 2**16 is infinite in float16."""
    with np.errstate(over="ignore"):
        return float(number_on(np.float32(scale), dtype))


def _lost_steps(rule: ScalerRule, dtype: DType) -> int:
    scale, lost = rule.initial_scale, 0
    while rule.checked and scale > 1 and np.isinf(cast_scale(scale, dtype)) and np.isfinite(scale):
        scale, lost = scale / rule.growth_factor, lost + 1
    return lost


def loss_dtype(subject: Subject) -> DType:
    """Return the dtype of the total loss.

    Keras 3 casts predictions to floatx first. Keras 2 computes in the dtype of the prediction, keeps activity
    penalties in that of their layer's output and weight penalties in that of the variable, and adds up in the widest.
    """
    if subject.conventions.floatx_losses:
        return subject.conventions.floatx
    network, plans = subject.network, plan_of_calls(subject.network)
    heads = [plans[call].output for call, _ in network.graph.outputs]
    losses = [
        _computed_in(subject.loss, dtype, len(shape)) for dtype, shape in zip(heads, network.output_shapes, strict=True)
    ]
    activity = [dtype for plan in plans for _, dtype in penalized(plan)]
    weights = [spec.dtype for spec in network.weight_specs if spec.regularizer is not None]
    return widest([*losses, *weights, *activity])


def _computed_in(loss: Loss | None, dtype: DType, axes: int) -> DType:
    """Return the dtype of a loss of predictions of a dtype and so many axes, by asking the loss about one row."""
    if loss is None or not dtype.is_floating:
        return dtype
    shape = (1,) * (axes - 1)
    labels = np.zeros(shape, np.int64) if loss.labels_are_classes else np.zeros((*shape, 2), np.float32)
    with np.errstate(all="ignore"):
        return loss(labels, Tensor(np.full((*shape, 2), 0.5, dtype.storage), dtype)).dtype


def _is_given_scaler(subject: Subject) -> bool:
    return isinstance(subject.optimizer, LossScaleOptimizer)


def _has_factor(subject: Subject) -> bool:
    return not isinstance(subject.wrapped, LossScaleOptimizer) and subject.wrapped.rule != UNSCALED


def _is_v1(subject: Subject) -> bool:
    return isinstance(subject.policy.given, PolicyV1)


def _has_scale(subject: Subject) -> bool:
    return isinstance(subject.policy.given, PolicyV1) and subject.policy.given.loss_scale is not None


def _is_passed_over(subject: Subject) -> bool:
    return subject.policy.never_scaled and subject.policy.plain.compute is FLOAT16


def _is_switched_off(subject: Subject) -> bool:
    return subject.conventions.keras3 and not subject.auto_scale_loss and _is_exact_name(subject)


def _is_exact_name(subject: Subject) -> bool:
    return subject.policy.name == "mixed_float16"


def _always(subject: Subject) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class _Reason:
    """A rule of ``compile``: its name, whether it decides, what it says of a policy's name."""

    code: str
    holds: Callable[[Subject], bool]
    why: str


_REASONS = (
    _Reason(
        "optimizer_given",
        _is_given_scaler,
        "The optimizer is a LossScaleOptimizer already; compile leaves it alone, whatever the policy says.",
    ),
    _Reason(
        "loss_scale_factor",
        _has_factor,
        "The optimizer has a loss_scale_factor, and compile does not wrap it for policy {name!r}: the loss is "
        "multiplied by that factor, and gradients are never checked.",
    ),
    _Reason(
        "policy_loss_scale",
        _has_scale,
        "The PolicyV1 of the model has a loss scale; compile wraps the optimizer with it, whatever the dtypes.",
    ),
    _Reason(
        "policy_without_loss_scale",
        _is_v1,
        "The PolicyV1 {name!r} of the model has no loss scale, so compile leaves the optimizer as it is.",
    ),
    _Reason(
        "name_not_recognised",
        _is_passed_over,
        "Keras 3 wraps the optimizer only for a policy named exactly 'mixed_float16'; this one is named {name!r}, and "
        "the loss is silently not scaled.",
    ),
    _Reason(
        "auto_scale_loss_off",
        _is_switched_off,
        "compile was called with auto_scale_loss=False, so it leaves the optimizer as it is.",
    ),
    _Reason(
        "policy_name",
        _is_exact_name,
        "The policy of the model is 'mixed_float16', so compile wraps the optimizer in a dynamic LossScaleOptimizer.",
    ),
    _Reason(
        "policy_not_scaled",
        _always,
        "compile wraps the optimizer only for the policy 'mixed_float16'; the model's is {name!r}. Policies of single "
        "layers do not count.",
    ),
)
"""In the order in which they are asked; the last one always holds."""
