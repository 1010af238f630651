"""What the rules of the linter look at: a subject with its plan and its scaling, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from engine.dtypes import FLOAT16, DType
from engine.layers import InputLayer, Layer, Shape
from engine.layers.embedding import Embedding
from engine.losses import Loss
from engine.metrics import Metric
from engine.numerics.findings import Finding
from engine.numerics.plan import LayerPlan, plan_of, with_inner
from engine.numerics.scaling import LossScaling, loss_scaling
from engine.numerics.subject import Subject
from engine.tape import Array


@dataclass(frozen=True)
class Case:
    """A model under the linter.

    Attributes:
        subject: the model.
        output: place of the output that rules about one output look at.
    """

    subject: Subject
    output: int = 0

    @cached_property
    def plans(self) -> tuple[LayerPlan, ...]:
        """Every layer once."""
        return plan_of(self.subject.network)

    @cached_property
    def scaling(self) -> LossScaling:
        """How the loss is scaled."""
        return loss_scaling(self.subject)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer that computes, those inside of others included."""
        found = (layer for plan in self.plans for layer in with_inner(plan.layer))
        return tuple(layer for layer in found if not isinstance(layer, InputLayer))

    @cached_property
    def half_layers(self) -> tuple[Layer, ...]:
        """Those that compute in float16, and so need the loss scaled."""
        return tuple(layer for layer in self.layers if layer.policy.compute is FLOAT16)

    @cached_property
    def variable_dtypes(self) -> tuple[DType, ...]:
        """Of the variables that the optimizer updates, each once."""
        return tuple({spec.dtype.name: spec.dtype for spec in self.subject.network.trainable_specs}.values())

    @cached_property
    def dense_dtypes(self) -> tuple[DType, ...]:
        """Of those whose gradients are no rows, as an embedding's are; each once."""
        found = (
            spec for plan in self.plans if not isinstance(plan.layer, Embedding) for spec in plan.calls[0].call.weights
        )
        return tuple({spec.dtype.name: spec.dtype for spec in found if spec.trainable}.values())

    @property
    def head_dtype(self) -> DType:
        """Dtype of the output."""
        return self.subject.output_dtypes[self.output]

    @property
    def head(self) -> str | None:
        """Name of the layer that gives the output."""
        call, _ = self.subject.network.graph.outputs[self.output]
        return self.subject.network.graph.calls[call].layer.name

    @property
    def head_shape(self) -> Shape:
        """Shape of the output, batch axis included."""
        return self.subject.network.output_shapes[self.output]

    @property
    def loss(self) -> Loss | None:
        """Loss of the output; None where it has none, or it is not known."""
        return self.subject.further[self.output - 1].loss if self.output else self.subject.loss

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Metrics of the output."""
        return self.subject.further[self.output - 1].metrics if self.output else self.subject.metrics

    @property
    def labels(self) -> Array | None:
        """Labels of a model's only output; None where they are not known."""
        return None if self.subject.further else self.subject.labels

    @property
    def others(self) -> Iterator[Case]:
        """The same model with each of its other outputs."""
        return (Case(self.subject, place) for place in range(1, len(self.subject.further) + 1))


Rule: TypeAlias = Callable[[Case], Iterator[Finding]]
"""Looks for one thing."""
