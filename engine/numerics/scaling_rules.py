"""Rules about the loss and its scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from engine.dtypes import FLOAT16
from engine.numerics.case import Case, Rule
from engine.numerics.findings import About, Finding
from engine.numerics.scaling import cast_scale
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.policy import PolicyV1

_LATER: Mapping[str, tuple[About, str]] = MappingProxyType(
    {
        "optimizer_given": ("optimizer", "Make the loss scale of the optimizer dynamic."),
        "policy_loss_scale": ("policy", 'Give the policy "loss_scale": "dynamic".'),
        "policy_without_loss_scale": ("policy", 'Give the policy "loss_scale": "dynamic".'),
        "auto_scale_loss_off": (
            "auto_scale_loss",
            "Leave `auto_scale_loss` out, or wrap the optimizer in a LossScaleOptimizer.",
        ),
    }
)
"""What to do where a loss is not scaled, by what decided it; each leaves out what the model has already."""
_SCALE_IT: tuple[About, str] = (
    "policy",
    "Use the policy 'mixed_float16', or wrap the optimizer in a LossScaleOptimizer.",
)
_SCALE_LAYERS: tuple[About, str] = (
    "policy",
    "Give the model the policy of the layer (others may keep theirs), or wrap the optimizer in a LossScaleOptimizer.",
)
_NEEDLESS = "Train without loss scaling; it only costs time, and skips steps that would have shown a real fault."
_UNFOLLOWED = (
    "Let layers follow the policy of the model: leave out their own `dtype`. Or train in float32 without loss scaling."
)
_LOSS_SCALING = "arXiv 1710.03740, section 3.2"


def loss_dtype(case: Case) -> Iterator[Finding]:
    """A loss that is computed in a narrow dtype, because its predictions are (Keras 2)."""
    dtype = case.scaling.loss_dtype
    if dtype.low_precision:
        yield Finding(
            code="loss_low_precision",
            severity="warning",
            layer=case.head,
            why=f"The model's output is {dtype.name}, so the loss is too: it is infinite beyond {dtype.max:g}, "
            f"changes below {dtype.epsilon / 2:.2g} of it vanish, and the loss scale must fit into {dtype.name}.",
            fix='Give the last layer dtype "float32" (an Activation("linear", dtype="float32") will do).',
            source="TensorFlow's mixed precision guide; tf.keras.losses of TF 2.4 (observed)",
            evidence={"dtype": dtype.name, "max": dtype.max, "epsilon": dtype.epsilon},
        )


def unscaled(case: Case) -> Iterator[Finding]:
    """Gradients in float16 of a loss that is not scaled."""
    if case.scaling.effective or not case.half_layers:
        return
    evidence = {"reason": case.scaling.decided_by, "policy": case.subject.policy.name}
    smallest = f"gradients below {FLOAT16.min_subnormal / 2:.1g} vanish"
    if case.scaling.decided_by == "name_not_recognised":
        fix = "Wrap the optimizer in a LossScaleOptimizer yourself: keras.optimizers.LossScaleOptimizer(optimizer)."
        source = "keras.src.trainers.trainer.Trainer.compile of Keras 3.15 (observed)"
        why = f"{case.scaling.why} So {smallest}."
        yield Finding("unscaled_float16", "warning", None, why, fix, source, evidence, "optimizer")
    elif case.subject.policy.plain.compute is FLOAT16:
        about, fix = _LATER.get(case.scaling.decided_by, _SCALE_IT)
        why = f"Layers compute in float16 and the loss is not scaled, so {smallest}. {case.scaling.why}"
        yield Finding("unscaled_float16", "warning", None, why, fix, _LOSS_SCALING, evidence, about)
    else:
        yield from _mixed_layers(case, smallest)


def _mixed_layers(case: Case, smallest: str) -> Iterator[Finding]:
    name = case.subject.policy.name
    about, fix = _LATER.get(case.scaling.decided_by, _SCALE_LAYERS)
    for layer in case.half_layers:
        yield Finding(
            code="unscaled_float16",
            severity="warning",
            layer=layer.name,
            why=f"The layer computes in float16 ({layer.policy.name}), but compile asks only the policy of the model, "
            f"{name!r}, and does not scale the loss: {smallest}.",
            fix=fix,
            source="tf.keras.Model._get_optimizer (TF 2.4, observed)",
            evidence={"reason": "layer_in_unscaled_model", "policy": name, "layer_policy": layer.policy.name},
            about=about,
        )


def without_effect(case: Case) -> Iterator[Finding]:
    """A loss that is scaled though nothing is float16, and settings of scales that are not used."""
    half = case.subject.policy.plain.compute is FLOAT16
    # That no layer follows a policy that was asked for is a finding of its own (`policy_without_effect`).
    told = half and case.subject.policy_scope is not None
    if case.scaling.kind != "none" and not (told or case.half_layers or FLOAT16 in case.variable_dtypes):
        yield Finding(
            code="scaling_without_effect",
            severity="warning",
            layer=None,
            why=f"The loss is multiplied by {case.scaling.loss_scale:g}, but nothing is float16: all else has the "
            "range of float32, where a scale by a power of two changes no bit.",
            fix=_UNFOLLOWED if half else _NEEDLESS,
            source="tf.keras.mixed_precision.experimental.Policy (its warning); arXiv 1710.03740, section 3.2",
            evidence={"reason": "no_float16", "loss_scale": case.scaling.loss_scale, "kind": case.scaling.kind},
            about=_set_by(case),
        )
    if case.scaling.kind == "fixed" and case.scaling.loss_scale == 1:
        why = "A fixed loss scale of 1 is none."
        yield _unused("scale_of_1", why, "Give a larger scale, or leave it out.", _set_by(case))
    if case.scaling.factor_reset:
        why = "Keras 3 resets the optimizer's loss_scale_factor as it wraps it for mixed_float16, and does not say so."
        fix = "Leave it out, or compile with auto_scale_loss=False to keep the fixed factor."
        yield _unused("loss_scale_factor_reset", why, fix, "optimizer")
    policy = case.subject.policy.given
    scaled = isinstance(policy, PolicyV1) and policy.loss_scale is not None and not policy.is_default
    if scaled and isinstance(case.subject.optimizer, LossScaleOptimizer):
        why = "The optimizer scales the loss already, so the loss scale of the policy is not used."
        yield _unused("policy_loss_scale_unused", why, "Give the loss scale in one place.", "policy")


def _set_by(case: Case) -> About:
    return "optimizer" if case.scaling.decided_by in {"optimizer_given", "loss_scale_factor"} else "policy"


def _unused(reason: str, why: str, fix: str, about: About) -> Finding:
    source = "keras.optimizers.LossScaleOptimizer; tf.keras.Model._get_optimizer (observed)"
    return Finding("scaling_without_effect", "warning", None, why, fix, source, {"reason": reason}, about)


def fixed_unchecked(case: Case) -> Iterator[Finding]:
    """A fixed scale, whose overflows nobody looks for."""
    if case.scaling.kind == "fixed" and case.scaling.loss_scale != 1:
        yield Finding(
            code="fixed_scale_unchecked",
            severity="warning",
            layer=None,
            why=f"The loss scale stays at {case.scaling.loss_scale:g} and gradients are never checked: one that "
            "overflows is applied, and the weights are lost.",
            fix="Use a dynamic loss scale, which skips such steps.",
            source="tf.keras.mixed_precision.LossScaleOptimizer.apply_gradients (TF 2.4, observed)",
            evidence={"loss_scale": case.scaling.loss_scale, "set_by": case.scaling.decided_by},
            about=_set_by(case),
        )


def overflows_loss(case: Case) -> Iterator[Finding]:
    """A scale that is infinite in the dtype of the loss, at once or once it has grown."""
    scaling = case.scaling
    if scaling.kind == "none" or not math.isfinite(scaling.loss_scale):
        return
    grown = scaling.loss_scale * scaling.rule.growth_factor
    if math.isinf(scaling.as_cast):
        yield _overflow(case, scaling.loss_scale, "error" if scaling.kind == "fixed" else "warning")
    elif scaling.kind == "dynamic" and math.isinf(cast_scale(grown, scaling.loss_dtype)):
        yield _overflow(case, grown, "warning")


def _overflow(case: Case, scale: float, severity: str) -> Finding:
    scaling, dtype = case.scaling, case.scaling.loss_dtype
    cast = f"The scale {scale:g} is infinite once it is cast to {dtype.name}, the dtype of the loss"
    happens = {
        "fixed": f"{cast}: every scaled loss is infinite or NaN, and applied.",
        "dynamic": f"{cast}: the first {scaling.lost_steps} steps are skipped, and later each growth costs one more."
        if scaling.lost_steps
        else f"{cast}: the first scale still fits, but each growth, every {scaling.rule.growth_interval} steps, costs "
        "a skipped step.",
    }
    return Finding(
        code="loss_scale_overflows_loss_dtype",
        severity="error" if severity == "error" else "warning",
        layer=case.head,
        why=happens[scaling.kind],
        fix='Give the last layer dtype "float32", so that the loss is float32 and any scale fits.',
        source="tf.keras.mixed_precision.LossScaleOptimizer.get_scaled_loss (TF 2.4, observed)",
        evidence={
            "loss_dtype": dtype.name,
            "loss_scale": scale,
            "as_cast": "inf",
            "lost_steps": scaling.lost_steps,
            "growth_steps": scaling.rule.growth_interval if scaling.kind == "dynamic" else None,
        },
    )


SCALING_RULES: tuple[Rule, ...] = (loss_dtype, unscaled, without_effect, fixed_unchecked, overflows_loss)
