"""Recurrent layers, unrolled over the steps of a sequence, op by op in the compute dtype.

Gate order and bias layout follow Keras: LSTM i, f, c, o; GRU z, r, h, with two rows of bias under ``reset_after``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from engine import activations, constraints, initializers, ops, regularizers
from engine.activations import Activation
from engine.configured import (
    any_integer,
    boolean,
    fraction,
    optional,
    positive_integer,
    setting,
    unsupported_unless,
)
from engine.constraints import Constraint
from engine.errors import ShapeMismatch
from engine.initializers import GlorotUniform, Initializer, Orthogonal, Zeros
from engine.layers.base import Layer, Shape, Shapes
from engine.layers.entering import Integers
from engine.layers.noise import dropped
from engine.layers.operands import check_match
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Array, Tensor
from engine.weights import WeightSpec

TANH = Activation("tanh")
SIGMOID = Activation("sigmoid")


@dataclass(frozen=True, kw_only=True)
class Recurrent(Layer):
    """Base of SimpleRNN, LSTM and GRU. Source: ``keras.layers.RNN``.

    Input (batch, steps, features), and optionally the initial states as further inputs. Output (batch, units), or
    (batch, steps, units) with ``return_sequences``; with ``return_state`` a list of the output and the last states.
    A masked step repeats the previous output, or gives zeros with ``zero_output_for_mask``, and keeps the states.
    """

    integers: ClassVar[Integers] = "cast"

    arity: ClassVar[tuple[int, int]] = (1, 3)
    arguments: ClassVar[tuple[str, ...]] = ("initial_state",)
    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    return_sequences: bool = setting(boolean, False)
    return_state: bool = setting(boolean, False)
    go_backwards: bool = setting(boolean, False)
    stateful: bool = setting(unsupported_unless(False), False)
    unroll: bool = setting(boolean, False)
    zero_output_for_mask: bool = setting(boolean, False, only="keras3")
    time_major: bool = setting(unsupported_unless(False), False, only="keras2")
    units: int = setting(positive_integer)
    activation: Activation = setting(activations.get, TANH, write=activations.write)
    use_bias: bool = setting(boolean, True)
    kernel_initializer: Initializer = setting(initializers.read, GlorotUniform(), write=initializers.write)
    recurrent_initializer: Initializer = setting(initializers.read, Orthogonal(), write=initializers.write)
    bias_initializer: Initializer = setting(initializers.read, Zeros(), write=initializers.write)
    kernel_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    recurrent_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    bias_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    activity_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    kernel_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    recurrent_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    bias_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)
    dropout: float = setting(fraction, 0.0)
    recurrent_dropout: float = setting(fraction, 0.0)
    seed: int | None = setting(optional(any_integer), None, only="keras3")
    implementation: int = setting(any_integer, 2, only="keras2")

    def _features(self, shape: Shape) -> int:
        if len(shape) != 3 or shape[-1] is None:
            raise ShapeMismatch(
                f"{self.class_name} {self.name!r} needs inputs of shape (batch, steps, features) with known features, "
                f"got {list(shape)}."
            )
        return shape[-1]

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _bias_start(self) -> Initializer:
        return self.bias_initializer

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Kernel (features, gates * units), recurrent kernel (units, gates * units), bias."""
        width = self.gates * self.units
        size = (self._features(shapes[0]), width)
        kernel = self.spec("kernel", size, self.kernel_initializer, self.kernel_regularizer)
        turn = (self.units, width)
        recurrent = self.spec("recurrent_kernel", turn, self.recurrent_initializer, self.recurrent_regularizer)
        bias = self.spec("bias", self._bias_shape(), self._bias_start(), self.bias_regularizer)
        return (kernel, recurrent, *((bias,) if self.use_bias else ()))

    def compute_output_shape(self, *shapes: Shape) -> Shapes:
        """The output, and with ``return_state`` every state."""
        self._features(shapes[0])
        batch = shapes[0][0]
        output = (batch, shapes[0][1], self.units) if self.return_sequences else (batch, self.units)
        return [output, *[(batch, self.units)] * self.states] if self.return_state else output

    def call(self, run: Run, *inputs: Tensor, initial_state: Sequence[Tensor] | None = None) -> Any:
        """Go through the steps."""
        x = inputs[0]
        if not self.conventions.keras3:
            check_match("MatMul", "b", self.policy.compute, "a", x.dtype)
        states = list(initial_state or inputs[1:]) or self._zeros(x)
        # All steps are multiplied with the kernel at once: the same products, rounded alike, in one call.
        kernel = self.weight(run, "kernel")
        entering = ops.matmul_steps(self._dropped(run, x, self.dropout), kernel)
        steps = ops.unstack(entering, axis=1)
        order = list(range(len(steps)))
        if self.go_backwards:
            order.reverse()
        outputs: list[Tensor] = []
        for index in order:
            recurrent = [self._dropped(run, states[0], self.recurrent_dropout), *states[1:]]
            following = self.step(run, steps[index], recurrent, states)
            if x.mask is not None:
                following, shown = self._keeping(x.mask[:, index], following, states, outputs)
            else:
                shown = following[0]
            states = following
            outputs.append(shown)
        output = ops.stack(outputs, axis=1) if self.return_sequences else outputs[-1]
        return [output, *states] if self.return_state else output

    def step(self, run: Run, x: Tensor, recurrent: list[Tensor], states: list[Tensor]) -> list[Tensor]:
        """Return the states after one step; the first is the output.

        Args:
            run: the forward pass.
            x: the step's input times the kernel, (batch, gates * units).
            recurrent: states to multiply with, after dropout.
            states: states to carry on.
        """
        raise AssertionError(f"{self.class_name} does not define its step")

    def _zeros(self, x: Tensor) -> list[Tensor]:
        return [Tensor(np.zeros((x.shape[0], self.units), x.data.dtype), x.dtype) for _ in range(self.states)]

    def _dropped(self, run: Run, x: Tensor, rate: float) -> Tensor:
        one_pattern_for_all_steps = (x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])
        return dropped(run, x, rate, self.seed, one_pattern_for_all_steps)

    def _keeping(
        self, mask: Array, following: list[Tensor], states: list[Tensor], outputs: list[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        counts = mask[:, np.newaxis]
        kept = [ops.where(counts, new, old) for new, old in zip(following, states, strict=True)]
        blank = Tensor(np.zeros_like(following[0].data), following[0].dtype)
        before = blank if self.zero_output_for_mask or not outputs else outputs[-1]
        return kept, ops.where(counts, following[0], before)

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """The steps' mask, where the steps are kept."""
        return inputs[0].mask if self.return_sequences and not self.return_state else None

    def _gates(self, run: Run, x: Tensor, state: Tensor) -> Tensor:
        """Return ``x + state @ recurrent_kernel + bias``."""
        z = ops.add(x, ops.matmul(state, self.weight(run, "recurrent_kernel")))
        return ops.bias_add(z, self.weight(run, "bias")) if self.use_bias else z


@dataclass(frozen=True, kw_only=True)
class SimpleRNN(Recurrent):
    """``h = activation(x @ kernel + bias + h @ recurrent_kernel)``. Source: ``keras.layers.SimpleRNN``."""

    seed: int | None = setting(optional(any_integer), None, only="set")

    def step(self, run: Run, x: Tensor, recurrent: list[Tensor], states: list[Tensor]) -> list[Tensor]:
        """Return the next output."""
        h = ops.add(x, self.weight(run, "bias")) if self.use_bias else x
        h = ops.add(h, ops.matmul(recurrent[0], self.weight(run, "recurrent_kernel")))
        return [self.activation(h, self.conventions)]


@dataclass(frozen=True, kw_only=True)
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter 1997). Source: ``keras.layers.LSTM``."""

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    recurrent_activation: Activation = setting(activations.get, SIGMOID, write=activations.write)
    unit_forget_bias: bool = setting(boolean, True)

    def _bias_start(self) -> Initializer:
        return ForgetBias(self.bias_initializer, self.units) if self.unit_forget_bias else self.bias_initializer

    def step(self, run: Run, x: Tensor, recurrent: list[Tensor], states: list[Tensor]) -> list[Tensor]:
        """Return the next output and cell."""
        z = self._gates(run, x, recurrent[0])
        if self.activation == TANH and self.recurrent_activation == SIGMOID:
            return ops.lstm_gates(z, states[1])
        zi, zf, zc, zo = ops.split(z, 4, axis=-1)
        line, gate = self.conventions, self.recurrent_activation
        kept = ops.multiply(gate(zf, line), states[1])
        cell = ops.add(kept, ops.multiply(gate(zi, line), self.activation(zc, line)))
        return [ops.multiply(gate(zo, line), self.activation(cell, line)), cell]


@dataclass(frozen=True)
class ForgetBias(Initializer):
    """The bias of an LSTM: another initializer's values, with ones for the forget gate (Jozefowicz 2015)."""

    inner: Initializer
    units: int

    def _values(self, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        values = self.inner(shape, rng)
        values[self.units : 2 * self.units] = 1
        return values


@dataclass(frozen=True, kw_only=True)
class GRU(Recurrent):
    """Gated recurrent unit (Cho 2014), ``reset_after`` by default. Source: ``keras.layers.GRU``."""

    gates: ClassVar[int] = 3

    recurrent_activation: Activation = setting(activations.get, SIGMOID, write=activations.write)
    reset_after: bool = setting(boolean, True)

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def step(self, run: Run, x: Tensor, recurrent: list[Tensor], states: list[Tensor]) -> list[Tensor]:
        """Return the next output."""
        line, gate = self.conventions, self.recurrent_activation
        biases = self._biases(run)
        xz, xr, xh = ops.split(ops.add(x, biases[0]) if biases else x, 3, axis=-1)
        after = self._after if self.reset_after else self._before
        z, r, h = after(run, (xz, xr, xh), recurrent[0], biases)
        update = gate(z, line)
        candidate = self.activation(h(gate(r, line)), line)
        one = ops.constant(1, update.dtype)
        kept = ops.multiply(update, states[0])
        return [ops.add(kept, ops.multiply(ops.subtract(one, update), candidate))]

    def _biases(self, run: Run) -> list[Tensor]:
        if not self.use_bias:
            return []
        bias = self.weight(run, "bias")
        return ops.unstack(bias, axis=0) if self.reset_after else [bias]

    def _after(self, run: Run, x: tuple[Tensor, ...], state: Tensor, biases: list[Tensor]) -> Any:
        turned = ops.matmul(state, self.weight(run, "recurrent_kernel"))
        if biases:
            turned = ops.add(turned, biases[1])
        hz, hr, hh = ops.split(turned, 3, axis=-1)
        return ops.add(x[0], hz), ops.add(x[1], hr), lambda reset: ops.add(x[2], ops.multiply(reset, hh))

    def _before(self, run: Run, x: tuple[Tensor, ...], state: Tensor, biases: list[Tensor]) -> Any:
        kernels = ops.split(self.weight(run, "recurrent_kernel"), 3, axis=-1)
        hz, hr = (ops.matmul(state, kernel) for kernel in kernels[:2])

        def candidate(reset: Tensor) -> Tensor:
            return ops.add(x[2], ops.matmul(ops.multiply(reset, state), kernels[2]))

        return ops.add(x[0], hz), ops.add(x[1], hr), candidate
