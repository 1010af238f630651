"""Layers around other layers: Bidirectional, TimeDistributed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from engine import ops
from engine.configured import one_of, optional, refuse, setting
from engine.conventions import Conventions
from engine.dtypes import DType
from engine.errors import InvalidValue, ShapeMismatch
from engine.layered_policy import JoinedPolicy
from engine.layers.base import Layer, Shape, Shapes
from engine.layers.layer_normalization import RowNormalization
from engine.layers.normalization import BatchNormalization
from engine.layers.recurrent import Recurrent
from engine.layers.regularization import ActivityRegularization
from engine.policy import Policy
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Array, Tensor
from engine.weights import WeightSpec

ReadLayer = Callable[[Mapping[str, Any], Conventions], Layer]


def _layer(key: str, value: Any) -> Layer:
    if not isinstance(value, Layer):
        raise refuse(key, "a serialized layer", value)
    return value


def _write(layer: Layer | None, conventions: Conventions) -> Any:
    if layer is None:
        return None
    short = {"class_name": layer.class_name, "config": layer.get_config(conventions)}
    module, registered_name = layer.origin
    return {"module": module, **short, "registered_name": registered_name} if conventions.keras3 else short


@dataclass(frozen=True)
class Wrapper(Layer):
    """Base: a layer inside a layer; the inner one's weights are found under the outer one's name."""

    layer: Layer = setting(_layer, write=_write)

    def placed(self, name: str, policy: Policy) -> Self:
        """Fill in names and policies, the inner layers' too."""
        done = super().placed(name, policy)
        inner: dict[str, Any] = {key: self._inside(done, layer, policy) for key, layer in self._inner().items()}
        return dataclasses.replace(done, **inner)

    @staticmethod
    def _inside(outer: Layer, layer: Layer, policy: Policy) -> Layer:
        """Place a layer inside: the policy of the model reaches it, whatever that of the layer around it."""
        placed = layer.placed(layer.name or layer.class_name.lower(), policy)
        return dataclasses.replace(placed, trainable=placed.trainable and outer.trainable)

    def _inner(self) -> dict[str, Layer]:
        return {"layer": self.layer}

    def inner_layers(self) -> tuple[Layer, ...]:
        """The layers inside, in the order of their variables."""
        return self._insides

    @cached_property
    def _insides(self) -> tuple[Layer, ...]:
        """Made once: a model inside keeps its graph, which each question to a new one would build anew."""
        return tuple(self._scoped(layer) for layer in self._inner().values())

    def output_dtype(self, *entered: DType) -> DType:
        """What the (first) inner layer makes of it."""
        inner = self.inner_layers()[0]
        return inner.output_dtype(*inner.entering_dtypes(*entered))

    def read_dtype(self, spec: WeightSpec) -> DType:
        """As the inner layer reads it whose variable it is."""
        owner = next(layer for layer in self.inner_layers() if spec.path.startswith(f"{layer.name}/"))
        return owner.read_dtype(spec)

    def _scoped(self, layer: Layer) -> Layer:
        return dataclasses.replace(layer, name=f"{self.name}/{layer.name}")


_MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": ops.add,
    "mul": ops.multiply,
    "ave": lambda left, right: ops.scale(ops.add(left, right), 0.5),
    "concat": lambda left, right: ops.concatenate([left, right], axis=left.ndim - 1),
}


@dataclass(frozen=True)
class Bidirectional(Wrapper):
    """A recurrent layer run forwards and another run backwards (Schuster 1997). Source: ``keras.layers.Bidirectional``.

    Without ``backward_layer``, the backward one is the forward one turned around, with weights of its own.
    """

    arity: ClassVar[tuple[int, int]] = (1, 5)
    arguments: ClassVar[tuple[str, ...]] = ("initial_state",)

    merge_mode: str | None = setting(one_of("concat", "sum", "mul", "ave", None), "concat")
    backward_layer: Layer | None = setting(optional(_layer), None, write=_write)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.layer, Recurrent):
            message = f"Bidirectional wraps a recurrent layer, got {self.layer.class_name}."
            raise InvalidValue(message, path=("layer",))
        if self.backward_layer is None:
            name = (self.layer.name or self.layer.class_name.lower()).removeprefix("forward_")
            turned = dataclasses.replace(self.layer, name=f"backward_{name}", go_backwards=not self.layer.go_backwards)
            object.__setattr__(self, "backward_layer", turned)
            object.__setattr__(self, "layer", dataclasses.replace(self.layer, name=f"forward_{name}"))
        if not isinstance(self.backward_layer, Recurrent):
            raise InvalidValue("`backward_layer` must be a recurrent layer.", path=("backward_layer",))
        if self.conventions.keras3:  # whose configs show it
            for key, layer in self._inner().items():
                object.__setattr__(self, key, layer)

    def _inner(self) -> dict[str, Layer]:
        """Return both layers; where they give sequences, masked steps are zeros, whatever their configs say."""
        assert isinstance(self.layer, Recurrent), "checked in __post_init__"
        assert isinstance(self.backward_layer, Recurrent), "made in __post_init__"
        both = {"layer": self.layer, "backward_layer": self.backward_layer}
        return {
            key: dataclasses.replace(layer, zero_output_for_mask=layer.return_sequences) for key, layer in both.items()
        }

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Those of the forward layer, then those of the backward layer."""
        return tuple(spec for layer in self._inner().values() for spec in self._scoped(layer).weight_specs(*shapes))

    def compute_output_shape(self, *shapes: Shape) -> Shapes:
        """The merged output; states of both directions follow."""
        shape = self.layer.compute_output_shape(*shapes)
        outputs = shape if isinstance(shape, list) else [shape]
        first = outputs[0]
        if self.merge_mode == "concat":
            merged: list[Shape] = [(*first[:-1], None if first[-1] is None else 2 * first[-1])]
        else:
            merged = [first] if self.merge_mode else [first, first]
        whole = [*merged, *outputs[1:], *outputs[1:]]
        return whole if len(whole) > 1 else whole[0]

    def call(self, run: Run, *inputs: Tensor) -> Any:
        """Run both ways and merge."""
        half = (len(inputs) - 1) // 2
        states = (inputs[1 : 1 + half], inputs[1 + half :])
        both = [
            _listed(self._scoped(layer)(run, inputs[0], *own))
            for layer, own in zip(self._inner().values(), states, strict=True)
        ]
        forward, backward = (outputs[0] for outputs in both)
        if getattr(self.layer, "return_sequences", False):
            backward = ops.take(backward, (slice(None), slice(None, None, -1)))
        merged = [_MERGES[self.merge_mode](forward, backward)] if self.merge_mode else [forward, backward]
        whole = [*merged, *both[0][1:], *both[1][1:]]
        return whole if len(whole) > 1 else whole[0]

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """The steps' mask, where the steps are kept."""
        return self.layer.output_mask(*inputs)


def _listed(value: Any) -> list[Tensor]:
    return value if isinstance(value, list) else [value]


def _silent(layer: Layer) -> Layer:
    """Return a layer without penalty on activities."""
    if isinstance(layer, ActivityRegularization):
        return dataclasses.replace(layer, l1=0.0, l2=0.0)
    settings: dict[str, Any] = {"activity_regularizer": None}
    return dataclasses.replace(layer, **settings)


_OWN_DTYPE = (BatchNormalization, RowNormalization)
"""Layers that cast what they give to their own compute dtype, whoever calls them."""


@dataclass(frozen=True)
class TimeDistributed(Wrapper):
    """The same layer applied to every step. Source: ``keras.layers.TimeDistributed``.

    Keras 3 does not call the layer inside but its `call`, step by step: inputs and, under a mixed policy, weights are
    cast as the outer layer's policy says, a penalty on activities is not added, and the statistics of a batch are
    those of one step.
    """

    @cached_property
    def _applied(self) -> Layer:
        """The inner layer as it computes here."""
        inner = self.inner_layers()[0]
        own = not self.conventions.keras3 or self.policy == inner.policy or isinstance(inner, _OWN_DTYPE)
        return inner if own else dataclasses.replace(inner, dtype=JoinedPolicy(self.policy, inner.policy))

    @property
    def idle_penalty(self) -> Regularizer | None:
        """The penalty on activities of the layer inside, which is not added."""
        return getattr(self.layer, "activity_regularizer", None) if self.conventions.keras3 else None

    @cached_property
    def _insides(self) -> tuple[Layer, ...]:
        """The layer inside, without a penalty that is not added."""
        return (self._scoped(self.layer if self.idle_penalty is None else _silent(self.layer)),)

    def output_dtype(self, *entered: DType) -> DType:
        """What the inner layer makes of it."""
        return self._applied.output_dtype(*self._applied.entering_dtypes(*entered))

    def read_dtype(self, spec: WeightSpec) -> DType:
        """As the inner layer reads it."""
        return self._applied.read_dtype(spec)

    def _step(self, shape: Shape) -> Shape:
        if len(shape) < 3:
            message = f"TimeDistributed {self.name!r} needs inputs of at least three axes, got {list(shape)}."
            raise ShapeMismatch(message)
        return (shape[0], *shape[2:])

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Those of the inner layer for one step."""
        return self.inner_layers()[0].weight_specs(self._step(shapes[0]))

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The inner layer's output, once a step."""
        inner = self.inner_layers()[0].compute_output_shape(self._step(shapes[0]))
        if isinstance(inner, list):
            raise InvalidValue("TimeDistributed wraps layers of one output.", path=("layer",))
        return (shapes[0][0], shapes[0][1], *inner[1:])

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Apply the inner layer to all steps of all rows at once, or in Keras 3 step by step where that differs."""
        x, inner = inputs[0], self._applied
        if self.steps_apart:
            masks = [None if x.mask is None else x.mask[:, index] for index in range(x.shape[1])]
            pairs = zip(ops.unstack(x, axis=1), masks, strict=True)
            return ops.stack([self._once(run, step, mask) for step, mask in pairs], axis=1)
        flat = ops.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))
        takes = x.mask is not None and isinstance(inner, BatchNormalization)
        y = inner(run, flat, mask=x.mask.reshape(-1) if takes and x.mask is not None else None)
        return ops.reshape(y, (x.shape[0], x.shape[1], *y.shape[1:]))

    @property
    def steps_apart(self) -> bool:
        """Whether steps go one after the other, as in Keras 3.

        That differs where a step has statistics of its own, and where the gradients of steps are narrow: Keras casts a
        weight for each step, so that they are summed in the weight's dtype.
        """
        inner = self._applied
        narrow = inner.policy.compute.low_precision
        return self.conventions.keras3 and (narrow or isinstance(inner, BatchNormalization))

    def _once(self, run: Run, step: Tensor, mask: Array | None) -> Tensor:
        inner = self._applied
        run.forget_casts(f"{inner.name}/")
        return inner(run, step, mask=mask) if isinstance(inner, BatchNormalization) else inner(run, step)

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """The steps' mask."""
        return inputs[0].mask
