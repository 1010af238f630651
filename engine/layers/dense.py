"""Dense: the fully connected layer."""

from __future__ import annotations

from dataclasses import dataclass

from engine import activations, constraints, initializers, ops, regularizers
from engine.activations import LINEAR, Activation
from engine.configured import boolean, positive_integer, setting, unsupported_unless
from engine.constraints import Constraint
from engine.initializers import GlorotUniform, Initializer, Zeros
from engine.layers.base import Layer, Shape, last_axis
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Tensor
from engine.weights import WeightSpec


@dataclass(frozen=True)
class Dense(Layer):
    """``activation(inputs @ kernel + bias)``. Source: ``keras.layers.Dense``.

    Input shape (batch, ..., n), output shape (batch, ..., units); kernel (n, units), bias (units,).
    The product is rounded to the compute dtype, then the biased sum, then the activation.
    """

    units: int = setting(positive_integer)
    activation: Activation = setting(activations.get, LINEAR, write=activations.write)
    use_bias: bool = setting(boolean, True)
    kernel_initializer: Initializer = setting(initializers.read, GlorotUniform(), write=initializers.write)
    bias_initializer: Initializer = setting(initializers.read, Zeros(), write=initializers.write)
    kernel_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    bias_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    activity_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write, only="keras2")
    kernel_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    bias_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    quantization_config: None = setting(unsupported_unless(None), None, only="keras3")
    lora_rank: None = setting(unsupported_unless(None), None, only="set")

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Kernel and, with ``use_bias``, bias."""
        inputs = last_axis(self, shapes[0])
        kernel = self.spec("kernel", (inputs, self.units), self.kernel_initializer, self.kernel_regularizer)
        bias = self.spec("bias", (self.units,), self.bias_initializer, self.bias_regularizer)
        return (kernel, bias) if self.use_bias else (kernel,)

    def output_shape(self, *shapes: Shape) -> Shape:
        """The last axis becomes ``units``."""
        last_axis(self, shapes[0])
        return (*shapes[0][:-1], self.units)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Multiply, add the bias, activate."""
        y = ops.matmul(inputs[0], self.weight(run, "kernel"))
        if self.use_bias:
            y = ops.bias_add(y, self.weight(run, "bias"))
        return self.activation(y, self.conventions)
