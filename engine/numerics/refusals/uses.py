"""Every use of a layer in a model, with what decides which op of TensorFlow runs there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.activations import Activation
from engine.dtypes import FLOAT32, DType
from engine.layers import Layer, Shape
from engine.layers.wrappers import TimeDistributed
from engine.network import Network
from engine.numerics.plan import with_inner
from engine.tape import Tensor


@dataclass(frozen=True, slots=True)
class Use:
    """A use of a layer.

    Attributes:
        layer: by itself, or inside a wrapper.
        shapes: of its inputs, batch axis first.
        options: constant arguments of the call.
        masked: whether a mask arrives, for each input.
        given_mask: whether the call names a mask itself.
        differentiated: whether training needs the gradient of its inputs: something before it is learnt.
    """

    layer: Layer
    shapes: tuple[Shape, ...]
    options: Mapping[str, Any]
    masked: tuple[bool, ...]
    given_mask: bool
    differentiated: bool

    @property
    def compute(self) -> DType:
        """Dtype in which it computes."""
        return self.layer.policy.compute

    @property
    def variable(self) -> DType:
        """Dtype of its variables."""
        return self.layer.policy.variable

    @property
    def rank(self) -> int:
        """Axes of the first input, the batch axis included."""
        return len(self.shapes[0]) if self.shapes else 0

    @property
    def activations(self) -> tuple[str, ...]:
        """Names of its activation functions."""
        held = (getattr(self.layer, key, None) for key in ("activation", "recurrent_activation"))
        return tuple(item.name for item in held if isinstance(item, Activation))


def uses_of(network: Network) -> Iterator[Use]:
    """Yield every use of every layer, those inside of others too."""
    carried: list[Tensor] = []
    learnt: list[bool] = []
    for call in network.graph.calls:
        arguments = [carried[source] for source, _ in call.arguments]
        masks = tuple(tensor.mask is not None for tensor in arguments)
        before = any(learnt[source] for source, _ in call.arguments)
        carried.append(_carrying(call.layer, arguments, len(call.output_shape)))
        learnt.append(before or any(spec.trainable for spec in call.weights))
        if call.masked:
            masks = (True, *masks[1:])
        for layer in with_inner(call.layer):
            shapes = call.input_shapes
            if layer is not call.layer and isinstance(call.layer, TimeDistributed):
                shapes = tuple((shape[0], *shape[2:]) for shape in shapes)
            yield Use(layer, shapes, call.options, masks, call.masked, before)


def _carrying(layer: Layer, arguments: list[Tensor], rank: int) -> Tensor:
    """Return a tensor of one element that has a mask where the layer's output has one."""
    output = Tensor(np.ones((1,) * rank, np.float32), FLOAT32)
    mask = layer.output_mask(*arguments) if arguments else None
    # Masks that are joined along the steps have several: the next layer gets one again, as the tensor has one element.
    output.mask = None if mask is None else np.ones((1,) * mask.ndim, bool)
    return output
