"""The numpy mixed-precision engine: Keras's names, low-precision arithmetic to the bit."""

from engine import activations, initializers, layers, losses, metrics, optimizers, regularizers
from engine.loss_scale import DynamicLossScale, FixedLossScale
from engine.model import Model, model_from_config
from engine.optimizers import LossScaleOptimizer
from engine.policy import Policy, PolicyV1

__all__ = [
    "DynamicLossScale",
    "FixedLossScale",
    "LossScaleOptimizer",
    "Model",
    "Policy",
    "PolicyV1",
    "activations",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "model_from_config",
    "optimizers",
    "regularizers",
]
