"""What layers with a kernel, a bias and an activation have in common."""

from __future__ import annotations

from dataclasses import dataclass

from engine import activations, constraints, initializers, ops, regularizers
from engine.activations import LINEAR, Activation
from engine.configured import boolean, setting
from engine.constraints import Constraint
from engine.initializers import GlorotUniform, Initializer, Zeros
from engine.layers.base import Layer
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Tensor
from engine.weights import WeightSpec


@dataclass(frozen=True, kw_only=True)
class Weighted(Layer):
    """Base of layers that compute ``activation(product + bias)``."""

    activation: Activation = setting(activations.get, LINEAR, write=activations.write)
    use_bias: bool = setting(boolean, True)
    kernel_initializer: Initializer = setting(initializers.read, GlorotUniform(), write=initializers.write)
    bias_initializer: Initializer = setting(initializers.read, Zeros(), write=initializers.write)
    kernel_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    bias_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    activity_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write, only="keras2")
    kernel_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    bias_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)

    def kernel_and_bias(self, kernel: tuple[int, ...], bias: tuple[int, ...]) -> tuple[WeightSpec, ...]:
        """Return the kernel and, with ``use_bias``, the bias, of these shapes."""
        specs = (self.spec("kernel", kernel, self.kernel_initializer, self.kernel_regularizer),)
        if not self.use_bias:
            return specs
        return (*specs, self.spec("bias", bias, self.bias_initializer, self.bias_regularizer))

    def finished(self, run: Run, product: Tensor) -> Tensor:
        """Add the bias (into the memory of the product) and activate."""
        y = ops.bias_add(product, self.bias(run)) if self.use_bias else product
        return self.activation(y, self.conventions)

    def bias(self, run: Run) -> Tensor:
        """Return the bias as it is added."""
        return self.weight(run, "bias")
