"""What an inspection looks at: a model, its policy, and what it would be compiled with. No variable exists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from engine.conventions import Conventions
from engine.dtypes import DType
from engine.errors import located
from engine.layers import Shape
from engine.losses import Loss
from engine.metrics import Metric
from engine.network import Network, read_network
from engine.numerics.magnitudes import Magnitudes, arriving
from engine.numerics.model_policy import ModelPolicy, with_policies
from engine.numerics.plan import plan_of_calls
from engine.optimizers import SGD, AnyOptimizer
from engine.optimizers.wrapping import wrap
from engine.policy import Policy
from engine.policy_scope import Scope
from engine.tape import Array


@dataclass(frozen=True)
class Measured:
    """What an output is measured by.

    Attributes:
        loss: None where the output has none.
        metrics: of the output.
    """

    loss: Loss | None
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Subject:
    """A model to look at.

    Attributes:
        config: of the model, as ``model.to_json()`` holds it.
        policy: of the model.
        conventions: the line of Keras it behaves like.
        optimizer: as given, before ``compile`` wraps it; None where it is not known.
        loss: of the first output; None where it is not known.
        auto_scale_loss: Keras 3's switch.
        metrics: of the first output.
        further: what the other outputs are measured by, in their order.
        labels: of the one output; None where they are not known.
        batch_size: rows of a step.
        input_shape: of a Sequential model that gives none itself; batch axis included.
        policy_scope: which layers were to follow the policy (``config`` went through ``scoped``); None where nobody
            asked for a policy.
        replaced: how many layers named each of the policies that ``scoped`` removed.
        rivals: policies that the export may have written instead of the replaced one.
        inputs: data of the one input, or of several by name; None where they are not known.
        made: the network, where it has been read from the config already; None reads it when it is asked for.
    """

    config: Mapping[str, Any] = field(repr=False)
    policy: ModelPolicy
    conventions: Conventions
    optimizer: AnyOptimizer | None = None
    loss: Loss | None = None
    metrics: tuple[Metric, ...] = ()
    further: tuple[Measured, ...] = ()
    labels: Array | None = field(default=None, repr=False, compare=False)
    auto_scale_loss: bool = True
    batch_size: int = 32
    input_shape: Shape | None = None
    policy_scope: Scope | None = None
    replaced: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    rivals: tuple[str, ...] = ()
    inputs: Array | Mapping[str, Array] | None = field(default=None, repr=False, compare=False)
    made: Network | None = field(default=None, repr=False)

    @cached_property
    def output_dtypes(self) -> tuple[DType, ...]:
        """Dtypes of the outputs, in their order."""
        plans = plan_of_calls(self.network)
        return tuple(plans[call].output for call, _ in self.network.graph.outputs)

    @cached_property
    def arriving(self) -> Mapping[int, Magnitudes]:
        """The magnitudes of what reaches each call of the graph, where these are the data themselves."""
        return MappingProxyType(arriving(self.network.graph, self.inputs))

    @cached_property
    def network(self) -> Network:
        """The model under its policy.

        Raises:
            EngineError: with a path relative to the config; "policy" leads it where a map does not fit the layers.
        """
        if self.made is not None:
            return self.made
        network = self.under(self.policy.plain)
        with located("policy"):
            config = with_policies(self.config, self.policy, network)
        if config is self.config:
            return network
        return read_network(config, self.policy.plain, self.conventions, self.input_shape)

    def under(self, policy: Policy) -> Network:
        """Return the model under another policy; layers that name a dtype of their own keep it."""
        return read_network(self.config, policy, self.conventions, self.input_shape)

    @cached_property
    def wrapped(self) -> AnyOptimizer:
        """The optimizer that ``compile`` leaves the model with; SGD stands for one that is not known.

        Raises:
            InvalidValue: the policy has a dynamic loss scale whose multiplier is not 2.
        """
        optimizer = SGD(conventions=self.conventions) if self.optimizer is None else self.optimizer
        if self.policy.never_scaled:
            return optimizer
        given = self.policy.given if isinstance(self.policy.given, Policy) else self.policy.plain
        return wrap(optimizer, given, self.conventions, auto_scale_loss=self.auto_scale_loss)
