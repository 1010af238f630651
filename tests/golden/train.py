"""Adapters of the training groups A to E: what each kind of case does with the engine."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from tests.golden import train_files, train_layers, train_loop, train_losses, train_optimizers, train_schedules

TrainAdapter: TypeAlias = Callable[[dict[str, Any], Mapping[str, np.ndarray]], dict[str, str]]
"""Takes a case and its arrays, returns a text per quantity that differs; raises ``NotBuilt`` for what is lacking."""

KINDS: Mapping[str, TrainAdapter] = {
    "layer": train_layers.layer,
    "activation_function": train_layers.activation_function,
    "loss": train_losses.loss,
    "loss_masked": train_losses.loss_masked,
    "loss_head": train_losses.loss_head,
    "metric": train_losses.metric,
    "optimizer": train_optimizers.optimizer,
    "loss_scale_optimizer": train_optimizers.loss_scale_optimizer,
    "optimizer_sparse": train_optimizers.optimizer_sparse,
    "schedule": train_schedules.schedule,
    "training": train_loop.training,
    "export": train_files.export,
}
"""The adapter of each kind of training case; kinds that are not here count as unsupported."""
