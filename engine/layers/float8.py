"""What a layer multiplies: plain numbers, or numbers that went through float8 and keep a record of their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from engine import ops
from engine.configured import refuse, shown, split_serialized
from engine.dtypes import BFLOAT16, FLOAT32
from engine.errors import Unsupported
from engine.initializers import Ones, Zeros
from engine.layered_policy import Float8Policy
from engine.layers.weighted import Weighted
from engine.run import Run
from engine.tape import Tensor
from engine.weights import WeightSpec

CONFIG = "Float8QuantizationConfig"
_RECORDS = ("inputs", "kernel", "outputs_grad")


class Factors(Protocol):
    """How the operands and the result of a layer's product are treated."""

    def weight_specs(self, layer: Weighted) -> tuple[WeightSpec, ...]:
        """Return the variables that this takes beside kernel and bias."""

    def inputs(self, layer: Weighted, run: Run, x: Tensor) -> Tensor:
        """Return the left operand."""

    def kernel(self, layer: Weighted, run: Run) -> Tensor:
        """Return the right operand."""

    def product(self, layer: Weighted, run: Run, y: Tensor) -> Tensor:
        """Return the product, whose gradient is treated as well."""

    def bias(self, layer: Weighted, run: Run) -> Tensor:
        """Return what is added to the product."""


class Plain:
    """Nothing is done: the operands are what they are."""

    def weight_specs(self, layer: Weighted) -> tuple[WeightSpec, ...]:
        """None."""
        return ()

    def inputs(self, layer: Weighted, run: Run, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def kernel(self, layer: Weighted, run: Run) -> Tensor:
        """Return the kernel."""
        return layer.weight(run, "kernel")

    def product(self, layer: Weighted, run: Run, y: Tensor) -> Tensor:
        """Return y."""
        return y

    def bias(self, layer: Weighted, run: Run) -> Tensor:
        """Return the bias."""
        return layer.weight(run, "bias")


class Float8:
    """Operands in E4M3, the gradient of the product in E5M2, each under a scale that follows what it saw before.

    Source: ``Dense._float8_build`` and ``Dense._float8_call`` of Keras 3.15.
    """

    def weight_specs(self, layer: Weighted) -> tuple[WeightSpec, ...]:
        """A scale and a history of inputs, kernel and gradient of the output, float32; training overwrites them."""
        policy = layer.policy
        assert isinstance(policy, Float8Policy), "factors_of chose by it"
        history = (policy.amax_history_length,)
        specs = []
        for name in _RECORDS:
            specs.append(layer.spec(f"{name}_scale", (), Ones(), dtype=FLOAT32, overwritten=True))
            specs.append(layer.spec(f"{name}_amax_history", history, Zeros(), dtype=FLOAT32, overwritten=True))
        return tuple(specs)

    def inputs(self, layer: Weighted, run: Run, x: Tensor) -> Tensor:
        """Return x as E4M3 keeps it."""
        return ops.float8_input(x, *_record(layer, run, "inputs"), training=run.training)

    def kernel(self, layer: Weighted, run: Run) -> Tensor:
        """Return the kernel as E4M3 keeps it."""
        return ops.float8_input(layer.weight(run, "kernel"), *_record(layer, run, "kernel"), training=run.training)

    def product(self, layer: Weighted, run: Run, y: Tensor) -> Tensor:
        """Return y, whose gradient becomes what E5M2 keeps of it."""
        return ops.float8_output(y, *_record(layer, run, "outputs_grad"))

    def bias(self, layer: Weighted, run: Run) -> Tensor:
        """Return the bias, as bfloat16 keeps it where the layer computes in float32."""
        bias = layer.weight(run, "bias")
        if layer.policy.compute is not FLOAT32:
            return bias
        return ops.cast(ops.cast(bias, BFLOAT16), FLOAT32)


def _record(layer: Weighted, run: Run, name: str) -> tuple[Tensor, Tensor]:
    return layer.variable(run, f"{name}_scale"), layer.variable(run, f"{name}_amax_history")


_PLAIN = Plain()
_FACTORS: Mapping[type, Factors] = MappingProxyType({Float8Policy: Float8()})
"""By the class of a layer's policy."""


def factors_of(layer: Weighted) -> Factors:
    """Return how a layer's policy treats what it multiplies."""
    return _FACTORS.get(type(layer.policy), _PLAIN)


def quantization(key: str, value: Any) -> Mapping[str, Any] | None:
    """Read Keras 3's ``quantization_config``: none, or that of float8, which has no settings; the policy decides.

    Raises:
        Unsupported: another one; its weights could not be trained.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise refuse(key, f"null or a serialized {CONFIG}", value)
    class_name, config = split_serialized("quantization config", value)
    if class_name != CONFIG or any(item is not None for item in config.values()):
        text = (
            f"`{key}` = {shown(value)} is not supported: weights of fewer than 8 bits, or integers, cannot be trained. "
            f"Leave it out, or use {CONFIG} without settings."
        )
        raise Unsupported(text)
    return value
