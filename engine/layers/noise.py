"""Random zeros, as every layer that drops draws them."""

from __future__ import annotations

import numpy as np

from engine import ops
from engine.run import Run
from engine.tape import Tensor


def dropped(run: Run, x: Tensor, rate: float, seed: int | None, pattern: tuple[int, ...] | None = None) -> Tensor:
    """Return x with a share of random zeros, the others scaled by ``1 / (1 - rate)``; x itself outside training.

    Args:
        run: the forward pass; its noise decides which entries.
        x: any shape and float dtype.
        rate: the share, in [0, 1].
        seed: of the layer, mixed in.
        pattern: shape of what is drawn, which is spread over x; x's own when omitted.
    """
    if not run.training or rate == 0:
        return x
    generator = run.generator(seed)
    if rate == 1:
        return ops.scale(x, 0.0)
    kept = generator.random(pattern or x.shape, dtype=np.float32) >= rate
    # TF scales first and masks then; both in the dtype of x.
    return ops.multiply(ops.scale(x, 1 / (1 - rate)), Tensor(kept.astype(x.data.dtype), x.dtype))
