"""Dropout: random zeros while training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine import ops
from engine.configured import any_integer, fraction, optional, setting, unsupported_unless
from engine.layers.base import Layer
from engine.run import Run
from engine.tape import Tensor


@dataclass(frozen=True)
class Dropout(Layer):
    """Sets a share of the inputs to 0 and scales the others by ``1 / (1 - rate)``; nothing outside training.

    Source: ``keras.layers.Dropout`` (Srivastava 2014). The zeros follow the job's seed and the step, so a resumed
    run draws the same ones; a seed of the layer's own is mixed in.
    """

    rate: float = setting(fraction)
    noise_shape: None = setting(unsupported_unless(None), None)
    seed: int | None = setting(optional(any_integer), None)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Return inputs with random zeros while training, else inputs."""
        x = inputs[0]
        if not run.training or self.rate == 0:
            return x
        generator = run.generator(self.seed)
        if self.rate == 1:
            return ops.scale(x, 0.0)
        kept = generator.random(x.shape, dtype=np.float32) >= self.rate
        # TF scales first and masks then; both in the compute dtype.
        return ops.multiply(ops.scale(x, 1 / (1 - self.rate)), Tensor(kept.astype(x.data.dtype), x.dtype))
