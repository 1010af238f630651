"""Changes of shape: no arithmetic, so results and gradients stay on their grid."""

from __future__ import annotations

from engine.tape import Op, Tensor, apply

RESHAPE = Op(
    "reshape",
    lambda dtype, x, shape: (x.reshape(shape), x.shape),
    lambda dtype, gradient, shape, needed: (gradient.reshape(shape),),
    on_grid=True,
    gradient_on_grid=True,
)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the values in another shape; one -1 is allowed."""
    return apply(RESHAPE, x, shape=shape)
