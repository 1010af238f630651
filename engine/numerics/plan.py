"""The dtypes, shapes and parameters of every layer, by the rules by which the engine runs it; nothing is allocated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.dtypes import DType
from engine.graph import Call
from engine.layers import Layer, Shape
from engine.network import Network


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One use of a layer.

    Attributes:
        call: the use.
        arriving: dtypes in which its inputs come.
        entered: dtypes in which they reach the computation: TF 2.4 casts the first argument, Keras 3 all of them, and
            neither casts integers.
        output: dtype of what it gives.
    """

    call: Call
    arriving: tuple[DType, ...]
    entered: tuple[DType, ...]
    output: DType


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer.

    Attributes:
        layer: the layer.
        calls: its uses; a shared layer has several.
        variable_dtype: of its variables: float32 for those of a BatchNormalization under a 16-bit policy; without
            any, what the policy says.
        parameters: elements of all its variables.
        trainable_parameters: of those that the optimizer updates.
    """

    layer: Layer
    calls: tuple[CallPlan, ...]
    variable_dtype: DType
    parameters: int
    trainable_parameters: int

    @property
    def output_dtype(self) -> DType:
        """Of its first use, as usually of all."""
        return self.calls[0].output

    @property
    def output_shape(self) -> Shape:
        """Of its first use and first output; batch axis first."""
        return self.calls[0].call.output_shape


def plan_of_calls(network: Network) -> tuple[CallPlan, ...]:
    """Return the dtypes of every use of a layer, in the order of the network's calls."""
    plans: list[CallPlan] = []
    for call in network.graph.calls:
        arriving = tuple(plans[source].output for source, _ in call.arguments)
        entered = call.layer.entering_dtypes(*arriving)
        plans.append(CallPlan(call, arriving, entered, call.layer.output_dtype(*entered)))
    return tuple(plans)


def plan_of(network: Network) -> tuple[LayerPlan, ...]:
    """Return the plan of every layer, once each, in the order of first use."""
    uses: dict[int, list[CallPlan]] = {}
    for plan in plan_of_calls(network):
        uses.setdefault(id(plan.call.layer), []).append(plan)
    return tuple(_of_layer(tuple(plans)) for plans in uses.values())


def _of_layer(calls: tuple[CallPlan, ...]) -> LayerPlan:
    layer, specs = calls[0].call.layer, calls[0].call.weights
    return LayerPlan(
        layer=layer,
        calls=calls,
        variable_dtype=specs[0].dtype if specs else layer.policy.variable,
        parameters=sum(spec.size for spec in specs),
        trainable_parameters=sum(spec.size for spec in specs if spec.trainable),
    )


def with_inner(layer: Layer) -> Iterator[Layer]:
    """Yield a layer, and the layers inside it under the names that their variables have."""
    yield layer
    for inner in layer.inner_layers():
        yield from with_inner(inner)


def penalized(plan: CallPlan) -> Iterator[tuple[Layer, DType]]:
    """Yield the layers of a call that add an activity penalty to the loss, and the dtype in which they compute it."""
    for layer in with_inner(plan.call.layer):
        if getattr(layer, "activity_regularizer", None) is not None:
            yield layer, plan.output if layer is plan.call.layer else layer.policy.compute
