"""The rules by which each system moves its loss scale, as one table of functions of that system's own settings.

Their trajectories differ although the settings sound alike: initial scale 16, window 3, then 7 finite steps, 3 that
are not, 4 finite, 1 not, 4 finite end at 16 in TF and at 64 in DeepSpeed's ZeRO and in Megatron.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from engine.dtypes import FLOAT32
from engine.errors import InvalidValue
from engine.scaler import ScalerRule, float32


def fixed(scale: float) -> ScalerRule:
    """A scale that stays, never looks at gradients and never skips a step.

    Raises:
        InvalidValue: the scale is finite, but beyond every float32, so that no loss can be multiplied by it.
    """
    _check_float32(scale)
    return ScalerRule(initial_scale=scale, checked=False, skip_advances_iterations=True)


def _check_float32(scale: float) -> None:
    if np.isfinite(scale) and not np.isfinite(float32(scale)):
        raise InvalidValue(
            f"A loss scale must fit into float32, whose largest number is {FLOAT32.max}, but got: {scale}",
            code="loss_scale_overflow",
        )


def _check(argument: str, value: float, accepted: bool, expected: str) -> None:
    """Refuse an argument that the original refuses."""
    if not accepted:
        raise InvalidValue(f"{argument!r} must be {expected}, but got: {value!r}", path=(argument,))


def tf24(initial_scale: float = 2.0**15, growth_interval: int = 2000, growth_factor: float = 2.0) -> ScalerRule:
    """TF 2.4 and tf_keras: floor 1, growth guarded against infinity, skipped steps advance the optimizer.

    Source: ``DynamicLossScale`` in ``tensorflow.python.training.experimental.loss_scale``, and
    ``_DynamicLossScaleState`` in ``keras.mixed_precision.loss_scale_optimizer``, whose factor is always 2.
    """
    return ScalerRule(
        initial_scale=initial_scale,
        growth_interval=growth_interval,
        growth_factor=growth_factor,
        reached=">=",
        growth_guard=True,
        floor=1.0,
        skip_advances_iterations=True,
        flush_subnormals=True,
    )


def keras3(initial_scale: float = 2.0**15, growth_interval: int = 2000) -> ScalerRule:
    """Keras 3: neither floor nor guard, an equality test of the count, and division instead of the reciprocal.

    Source: ``keras.optimizers.LossScaleOptimizer`` of Keras 3.15.

    Raises:
        InvalidValue: the scale is finite, but beyond every float32.
    """
    _check_float32(initial_scale)
    stored = float32(initial_scale)
    return ScalerRule(
        initial_scale=0.0 if abs(stored) < FLOAT32.min_normal else stored,  # Keras computes the initial value
        growth_interval=growth_interval,
        unscale="divide",
        flush_subnormals=True,
    )


def torch(
    init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5, growth_interval: int = 2000
) -> ScalerRule:
    """``torch.amp.GradScaler``: a backoff factor of its own, growth guarded, no floor.

    Source: ``amp_update_scale_cuda_kernel`` in torch's ``aten/src/ATen/native/cuda/AmpKernels.cu``: the scale is
    float32, the factors are double. The refusals are those of ``GradScaler.__init__``.

    Raises:
        InvalidValue: a growth factor of at most 1, or a backoff factor of at least 1.
    """
    _check("growth_factor", growth_factor, growth_factor > 1, "above 1")
    _check("backoff_factor", backoff_factor, backoff_factor < 1, "below 1")
    return ScalerRule(
        initial_scale=init_scale,
        growth_factor=growth_factor,
        backoff_factor=backoff_factor,
        growth_interval=growth_interval,
        growth_guard=True,
        arithmetic="mixed",
    )


def deepspeed_zero(
    init_scale: float = 2.0**16,
    scale_window: int = 1000,
    min_scale: float = 1.0,
    hysteresis: int = 2,
    *,
    consecutive_hysteresis: bool = False,
) -> ScalerRule:
    """DeepSpeed with ZeRO: hysteresis, and an error instead of shrinking at the floor.

    The first growth of a streak takes one step more than the window, later ones do not. A hysteresis below 1 never
    counts down to 1, so that the scale never shrinks.
    Source: ``DynamicLossScaler.update_scale`` in DeepSpeed's ``runtime/fp16/loss_scaler.py`` at 18fd4c97.

    Raises:
        InvalidValue: a window below 1, by which DeepSpeed would divide.
    """
    _check("scale_window", scale_window, scale_window >= 1, "at least 1")
    return ScalerRule(
        initial_scale=init_scale,
        growth_interval=scale_window,
        restart=-1,
        floor=min_scale,
        at_floor="stop_at",
        hysteresis=hysteresis,
        refill="finite" if consecutive_hysteresis else "growth",
        arithmetic="float64",
    )


def deepspeed_fused(
    init_scale: float = 2.0**16,
    scale_window: int = 1000,
    min_scale: float = 1.0,
    hysteresis: int = 1,
    *,
    consecutive_hysteresis: bool = False,
) -> ScalerRule:
    """DeepSpeed without ZeRO: a floor that holds, and no hysteresis.

    Releases that ignore the setting ``hysteresis`` here are the default, 1; newer ones honour it (051b9c8b).
    Source: ``FP16_Optimizer._update_scale`` in DeepSpeed's ``runtime/fp16/fused_optimizer.py`` at edaa7221.

    Raises:
        InvalidValue: a window below 1, by which DeepSpeed would divide.
    """
    _check("scale_window", scale_window, scale_window >= 1, "at least 1")
    return ScalerRule(
        initial_scale=init_scale,
        growth_interval=scale_window,
        restart=-1,
        floor=min_scale,
        hysteresis=hysteresis,
        refill="finite" if consecutive_hysteresis else "growth",
        arithmetic="float64",
    )


def megatron(
    initial_scale: float = 2.0**32,
    min_scale: float = 1.0,
    growth_factor: float = 2.0,
    backoff_factor: float = 0.5,
    growth_interval: float = 1000.0,
    hysteresis: int = 2,
) -> ScalerRule:
    """Megatron-LM: hysteresis that only a growth refills (its docstring says "in a row", its code does not).

    The window may be a fraction, which no count equals, so that the scale never grows.
    Source: ``DynamicGradScaler`` in Megatron's ``core/optimizer/grad_scaler.py`` at d98e8a64; all but the window and
    the hysteresis are float32 tensors there.

    Raises:
        InvalidValue: what its constructor refuses.
    """
    _check("initial_scale", initial_scale, initial_scale > 0, "above 0")
    _check("min_scale", min_scale, min_scale > 0, "above 0")
    _check("min_scale", min_scale, min_scale <= initial_scale, f"at most the initial scale, {initial_scale!r}")
    _check("growth_factor", growth_factor, growth_factor > 1, "above 1")
    _check("backoff_factor", backoff_factor, 0 < backoff_factor < 1, "above 0 and below 1")
    _check("growth_interval", growth_interval, growth_interval > 0, "above 0")
    _check("hysteresis", hysteresis, hysteresis > 0, "above 0")
    return ScalerRule(
        initial_scale=initial_scale,
        growth_factor=growth_factor,
        backoff_factor=backoff_factor,
        growth_interval=int(growth_interval) if float(growth_interval).is_integer() else 0,
        floor=float32(min_scale),
        hysteresis=hysteresis,
    )


def fairseq(
    init_scale: float = 2.0**7,
    scale_factor: float = 2.0,
    scale_window: int = 2**14,
    tolerance: float = 0.0,
    threshold: float | None = None,
    min_loss_scale: float = 1e-4,
) -> ScalerRule:
    """fairseq: a tolerated share of nonfinite steps, and an error once the scale is too small.

    The defaults are those of its command line for one worker without gradient accumulation; a threshold above
    ``min_loss_scale`` holds the scale, so that the error never comes.
    Source: ``DynamicLossScaler`` in fairseq's ``optim/dynamic_loss_scaler.py`` at 0d77035e.

    Raises:
        InvalidValue: a window below 1, by which fairseq would divide.
    """
    _check("scale_window", scale_window, scale_window >= 1, "at least 1")
    holds = threshold is not None and threshold > min_loss_scale
    return ScalerRule(
        initial_scale=init_scale,
        growth_factor=scale_factor,
        growth_interval=scale_window,
        tolerance=tolerance,
        floor=threshold if holds else min_loss_scale,
        at_floor="clamp" if holds else "stop_below",
        arithmetic="float64",
    )


def jmp(
    loss_scale: float = 2.0**15, period: int = 2000, factor: float = 2.0, min_loss_scale: float = 1.0
) -> ScalerRule:
    """jmp: TF's rule with an equality test of the count, and a float32 floor of its own.

    Source: ``DynamicLossScale.adjust`` in jmp's ``_src/loss_scale.py`` at 107217e5.
    """
    return ScalerRule(
        initial_scale=loss_scale,
        growth_factor=factor,
        growth_interval=period,
        growth_guard=True,
        floor=float32(min_loss_scale),
    )


def apex(
    init_scale: float = 2.0**16,
    scale_window: int = 2000,
    min_loss_scale: float | None = None,
    max_loss_scale: float = 2.0**24,
) -> ScalerRule:
    """Apex amp: growth is capped, and there is no floor unless one is asked for.

    Source: ``LossScaler.update_scale`` in Apex's ``amp/scaler.py``.
    """
    return ScalerRule(
        initial_scale=init_scale,
        growth_interval=scale_window,
        cap=max_loss_scale,
        floor=min_loss_scale or None,
        arithmetic="float64",
    )


RULES: Mapping[str, Callable[..., ScalerRule]] = MappingProxyType(
    {
        "fixed": fixed,
        "tf2.4": tf24,
        "tf_keras": tf24,
        "keras3": keras3,
        "torch": torch,
        "deepspeed_zero": deepspeed_zero,
        "deepspeed_fused": deepspeed_fused,
        "megatron": megatron,
        "fairseq": fairseq,
        "jmp": jmp,
        "apex": apex,
    }
)
"""The rule of each system; the arguments have that system's names and, left out, its defaults."""
