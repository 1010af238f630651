"""The config of a saved model, in Keras 3's spelling: its layers, and how it was compiled."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine import losses, metrics, optimizers
from engine.compilation import Compilation
from engine.conventions import KERAS3
from engine.heads import Head
from engine.losses import Loss
from engine.metrics import Metric
from engine.network import Network
from engine.optimizers import AnyOptimizer, LossScaleOptimizer
from engine.optimizers.low_precision import NEAREST

_RUN = {"run_eagerly": False, "steps_per_execution": 1, "jit_compile": False}


def model_config(network: Network) -> dict[str, Any]:
    """Return what Keras 3's `model.to_json()` would print of the network, whatever line of Keras it came from."""
    return replace(network, conventions=KERAS3).get_config()


def compile_config(compilation: Compilation) -> dict[str, Any] | None:
    """Return what Keras 3's `get_compile_config()` would; None for what it cannot say: a wrapper with a fixed scale."""
    optimizer = _optimizer(compilation.optimizer)
    if optimizer is None:
        return None
    heads = compilation.heads
    weights = [head.weight for head in heads]
    return {
        "optimizer": optimizer,
        "loss": _alone([None if head.loss is None else _loss(head.loss) for head in heads]),
        "loss_weights": None if weights == [None] * len(heads) else [1.0 if by is None else by for by in weights],
        "metrics": _alone([_written(head.metrics) for head in heads]),
        "weighted_metrics": _alone([_written(head.weighted_metrics) for head in heads]) if _weighted(heads) else None,
        **_RUN,
    }


def _alone(values: list[Any]) -> Any:
    """Return the one value of one output, the list for several."""
    return values[0] if len(values) == 1 else values


def _written(read: Sequence[Metric]) -> list[dict[str, Any]]:
    return [metrics.serialize(metric, KERAS3) for metric in read]


def _weighted(heads: Sequence[Head]) -> bool:
    return any(head.weighted_metrics for head in heads)


def _loss(loss: Loss) -> dict[str, Any]:
    written = losses.serialize(loss, KERAS3)
    # Keras 3 no longer knows the name that Keras 2 had for its default.
    reduction = {"auto": "sum_over_batch_size"}.get(loss.reduction or "", loss.reduction)
    return {**written, "config": {**written["config"], "reduction": reduction}}


def _optimizer(optimizer: AnyOptimizer) -> dict[str, Any] | None:
    if optimizer.inner_optimizer.update_rounding != NEAREST:
        return None  # Keras has no such optimizer; the model opens without one
    if not isinstance(optimizer, LossScaleOptimizer):
        return optimizers.serialize(optimizer, KERAS3)
    if not optimizer.rule.checked:
        return None
    config = {
        "name": "loss_scale_optimizer",
        "inner_optimizer": optimizers.serialize(optimizer.inner_optimizer, KERAS3),
        "initial_scale": optimizer.initial_scale,
        "dynamic_growth_steps": optimizer.dynamic_growth_steps,
    }
    return {
        "module": "keras.optimizers",
        "class_name": "LossScaleOptimizer",
        "config": config,
        "registered_name": None,
    }
