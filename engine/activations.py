"""Activation functions by Keras's names, as values that layers hold and configs name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from engine import ops
from engine.configured import choose, refuse, split_serialized
from engine.conventions import Conventions
from engine.tape import Tensor

Function = Callable[[Tensor, Conventions], Tensor]


@dataclass(frozen=True, slots=True)
class Activation:
    """A named activation function. Source: ``keras.activations``."""

    name: str

    def __call__(self, x: Tensor, conventions: Conventions) -> Tensor:
        """Return the activation of x, of x's shape and dtype."""
        return ACTIVATIONS[self.name](x, conventions)


def _plain(function: Callable[[Tensor], Tensor]) -> Function:
    return lambda x, conventions: function(x)


def _with_logits(function: Callable[[Tensor], Tensor]) -> Function:
    """Return the function with its input remembered, so that a cross-entropy can use it (``_keras_logits``)."""

    def call(x: Tensor, conventions: Conventions) -> Tensor:
        y = function(x)
        y.logits = x
        return y

    return call


def _hard_sigmoid(x: Tensor, conventions: Conventions) -> Tensor:
    if conventions.keras3:  # where the gradient is infinite, that of relu6 makes nan of it
        return ops.divide(ops.relu6(ops.add(x, ops.constant(3, x.dtype))), ops.constant(6, x.dtype))
    return ops.hard_sigmoid(x, conventions.hard_sigmoid_slope)


def _hard_silu(x: Tensor, conventions: Conventions) -> Tensor:
    return ops.multiply(x, _hard_sigmoid(x, conventions))


ACTIVATIONS: Mapping[str, Function] = MappingProxyType(
    {
        "linear": _plain(lambda x: x),
        "relu": _plain(ops.relu),
        "relu6": _plain(ops.relu6),
        "leaky_relu": _plain(ops.leaky_relu),
        "sigmoid": _with_logits(ops.sigmoid),
        "softmax": _with_logits(ops.softmax),
        "log_softmax": _plain(ops.log_softmax),
        "tanh": _plain(ops.tanh),
        "hard_tanh": _plain(ops.hard_tanh),
        "hard_sigmoid": _hard_sigmoid,
        "hard_silu": _hard_silu,
        "hard_swish": _hard_silu,
        "exponential": _plain(ops.exponential),
        "softplus": _plain(ops.softplus),
        "softsign": _plain(ops.softsign),
        "silu": _plain(ops.silu),
        "swish": _plain(ops.silu),
        "mish": _plain(ops.mish),
        "elu": _plain(ops.elu),
        "selu": _plain(ops.selu),
        "celu": _plain(ops.celu),
        "gelu": _plain(ops.gelu),
        "glu": _plain(ops.glu),
        "hard_shrink": _plain(ops.hard_shrink),
        "log_sigmoid": _plain(ops.log_sigmoid),
        "soft_shrink": _plain(ops.soft_shrink),
        "sparse_plus": _plain(ops.sparse_plus),
        "sparse_sigmoid": _plain(ops.sparse_sigmoid),
        "sparsemax": _plain(ops.sparsemax),
        "squareplus": _plain(ops.squareplus),
        "tanh_shrink": _plain(ops.tanh_shrink),
    }
)
LINEAR = Activation("linear")


def get(key: str, identifier: Any) -> Activation:
    """Read an activation: a name, a serialized dict of Keras 2 or 3, an Activation, or None for linear.

    Raises:
        Unsupported: no function of that name.
        InvalidValue: not an identifier.
    """
    if identifier is None:
        return LINEAR
    if isinstance(identifier, Activation):
        return identifier
    if isinstance(identifier, Mapping):
        class_name, config = split_serialized("activation", identifier)
        named = config.get("activation", config) if class_name == "Activation" else class_name
        return get(key, identifier["config"] if isinstance(identifier.get("config"), str) else named)
    if not isinstance(identifier, str):
        raise refuse(key, "the name of an activation", identifier)
    choose("activation", ACTIVATIONS, identifier)
    return Activation(identifier)


def write(activation: Activation, conventions: Conventions) -> str:
    """Return what ``get_config`` shows of an activation: its name, which for silu is "swish" in Keras 2."""
    return "swish" if activation.name == "silu" and not conventions.keras3 else activation.name
