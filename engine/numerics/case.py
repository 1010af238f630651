"""What the rules of the linter look at: a subject with its plan and its scaling, made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from engine.dtypes import FLOAT16, DType
from engine.layers import InputLayer, Layer
from engine.layers.embedding import Embedding
from engine.numerics.findings import Finding
from engine.numerics.plan import LayerPlan, plan_of, plan_of_calls, with_inner
from engine.numerics.scaling import LossScaling, loss_scaling
from engine.numerics.subject import Subject


@dataclass(frozen=True)
class Case:
    """A model under the linter."""

    subject: Subject

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
        """Dtype of the (first) output."""
        call, _ = self.subject.network.graph.outputs[0]
        return plan_of_calls(self.subject.network)[call].output

    @property
    def head(self) -> str | None:
        """Name of the layer that gives the (first) output."""
        call, _ = self.subject.network.graph.outputs[0]
        return self.subject.network.graph.calls[call].layer.name


Rule: TypeAlias = Callable[[Case], Iterator[Finding]]
"""Looks for one thing."""
