"""Which optimizer a model gets when it is compiled: the rules of TF 2.4's ``Model.compile``.

Source: ``Model._get_optimizer`` in ``tensorflow.python.keras.engine.training`` of TF 2.4.
"""

from __future__ import annotations

from engine.conventions import Conventions
from engine.dtype_policy import DTypePolicy
from engine.optimizers.base import Optimizer
from engine.optimizers.later_loss_scale_optimizers import Keras3LossScaleOptimizer
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer, LossScaleOptimizerV1
from engine.policy import Policy, PolicyV1


def wrap_for_policy(optimizer: Optimizer | LossScaleOptimizer, policy: Policy) -> Optimizer | LossScaleOptimizer:
    """Return the optimizer that a model with a policy trains with.

    A PolicyV1 scales the loss iff it has a loss scale, whatever its dtypes; a plain policy does iff it is named
    "mixed_float16". An optimizer that scales its loss already is left alone, even where the policy says otherwise.

    Args:
        optimizer: as the user gave it.
        policy: of the model itself; those of its layers do not count.

    Raises:
        InvalidValue: the policy has a dynamic loss scale whose multiplier is not 2.
    """
    if isinstance(optimizer, LossScaleOptimizer):
        return optimizer
    if isinstance(policy, PolicyV1):
        if policy.loss_scale is None:
            return optimizer
        return LossScaleOptimizerV1(optimizer, policy.loss_scale)
    return LossScaleOptimizer(optimizer) if policy.name == "mixed_float16" else optimizer


def wrap(
    optimizer: Optimizer | LossScaleOptimizer,
    policy: Policy | DTypePolicy,
    conventions: Conventions,
    *,
    auto_scale_loss: bool = True,
) -> Optimizer | LossScaleOptimizer:
    """Return the optimizer that a model trains with, by the rule of its line of Keras.

    Keras 3 wraps iff the model's policy is *named* "mixed_float16" and ``auto_scale_loss`` is on, and then silently
    resets the optimizer's ``loss_scale_factor`` (observed in 3.15.1). Keras 2 has no such switch.
    """
    if isinstance(policy, Policy) and (not conventions.keras3 or isinstance(policy, PolicyV1)):
        return wrap_for_policy(optimizer, policy)
    if isinstance(optimizer, LossScaleOptimizer) or not auto_scale_loss or policy.name != "mixed_float16":
        return optimizer
    return Keras3LossScaleOptimizer(optimizer)
